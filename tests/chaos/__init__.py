"""Runs under random kills, and many runs in a row: too long for the test suite, ``make chaos`` and ``make soak``."""
