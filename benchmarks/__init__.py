"""Benchmarks: the same analyses side by side in the places where a user could run them; see README.md."""
