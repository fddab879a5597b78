"""Real servers for the tests of remote data, each on free loopback ports and in a folder of its own.

``s3`` is Ceph's RADOS gateway, ``web`` nginx with an authority of its own, ``xrootd`` the XRootD server in all its kinds.
``fixtures`` makes each one once per test session, for ``conftest.py``; the ``running()`` of each module is the same as a
context manager, for benchmarks. ``install.sh`` brings the programs; what is missing is skipped.
"""
