"""How data is opened, fetched and written, on both sides of the wire.

ROOT opens a URL by ``access``, which asks the reader of this machine over a Unix socket; the reader fetches extents of bytes
and keeps them. An extent is a pair [start, end) of bytes of a remote file; a version is its ETag (or time of change) and
size.

A new storage scheme goes into ``object_stores`` (SCHEMES and keys), ``access`` (ROOT's plug-in), ``stores`` (writing) and,
on the driver, into ``dataset``: ``names`` (patterns), ``identity``, ``credentials``; ``deployment.check`` tries it.

    access           ROOT's end: which road a URL takes, what this process may read, and what it could not
    ranged           ROOT's classes of files that come through the reader, called in a library
    reader           the process that answers ROOT, and ends when nobody needs it
    sources          what it has of remote files: versions, bytes that are here, bytes on their way
    extents          which bytes to fetch, and a bounded cache of those that were
    remote           objects by URL: how big they are, which version, which bytes
    object_stores    the store that a URL lies in, asked with the right keys
    refusals         why remote data cannot be read, in plain words
    fingerprints     which version of a local file somebody has looked at
    secret_urls      URLs that hold a secret, and the names by which all but their server know them
    signed_files     such URLs behind XRootD, opened by ROOT
    snapshot_parts   a Snapshot's parts on a worker: written aside, then put where they belong, whole
    store_protocol   what a place offers where files are written
    stores           the places: S3, XRootD, WebDAV, folders; and which place a URL means
    webdav           the place over http(s)
    xrootd           bytes behind XRootD, by ROOT's own client
"""
