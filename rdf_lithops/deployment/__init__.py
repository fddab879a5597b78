"""Whether a place is ready for runs, and the workers' image."""
