"""What lies where, where it is cut into ranges, who may read it, and the Snapshots that are written."""
