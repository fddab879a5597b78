"""A real Slurm on this machine, for tests: a controller, nodes, and what people do to them."""
