"""Folders of what Lithops imports below ``lithops.serverless.backends``."""
