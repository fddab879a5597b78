"""Processes that outlive a task: how they are found, started, asked, timed and watched, on both sides of the wire."""
