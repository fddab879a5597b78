"""Folders of what Lithops imports below ``lithops.storage.backends``."""
