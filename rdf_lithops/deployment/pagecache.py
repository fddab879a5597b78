"""What of a file the kernel has in memory, and how to make it forget. Linux only."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

__all__ = ["evict", "resident_bytes"]

_libc = ctypes.CDLL(None, use_errno=True)


def evict(path: Path) -> None:
    """Have the kernel drop the clean pages of ``path``; pages that a process maps stay."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident_bytes(path: Path) -> int:
    """Bytes of ``path`` in the page cache, in whole pages, but no more than the file has."""
    size = path.stat().st_size
    if size == 0:
        return 0
    pages = -(-size // mmap.PAGESIZE)
    resident = (ctypes.c_ubyte * pages)()
    with open(path, "rb") as stream:
        address = _address(stream.fileno(), size)
    try:
        if _libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), resident) != 0:
            raise OSError(ctypes.get_errno(), f"mincore of {path}")
    finally:
        _libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return min(size, sum(flag & 1 for flag in resident) * mmap.PAGESIZE)


def _address(descriptor: int, size: int) -> int:
    """Map the file ourselves: Python's mmap keeps the address of a read-only mapping to itself."""
    _libc.mmap.restype = ctypes.c_void_p
    arguments = (None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, descriptor, ctypes.c_long(0))
    address = _libc.mmap(*arguments)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)
