"""What the user booked, and the seam with ROOT: DistRDF's back end, the graph that travels, what becomes of its results."""
