"""The data frame of one range, as both sides make it: which entries, of which files, opened how, under which settings."""
