"""How data is opened, fetched and written, on both sides of the wire.

``access`` is ROOT's end: it gives URLs to ``reader``, one process per machine, which fetches ``extents`` by ``remote``;
``refusals`` are the words for what servers answer; ``stores`` put files (S3, ``webdav``, ``xrootd``, folders).
"""
