"""Which version of a local file somebody has looked at. Reads its header and its end: no ROOT.

A time stamp does not tell two versions within one tick of a file system's clock, and differs between copies of one file. The
header of a ROOT file has an identifier that is drawn anew each time a file is made, and places that move with what is
written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

__all__ = ["changed_files", "fingerprint", "fingerprints"]

HEADER_BYTES = 128
END_BYTES = 4096  # the directory of keys, and where ROOT's own description of the file lies


def fingerprint(path: str) -> str | None:  # decision 91
    """Return a name of what ``path`` holds now, the same on every machine that has this version; None if it is no readable
    file."""
    try:
        with open(os.path.expanduser(os.path.expandvars(path)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(file.read(HEADER_BYTES))
            file.seek(max(HEADER_BYTES, size - END_BYTES))
            digest.update(file.read(END_BYTES))
    except OSError:
        return None
    return f"{size}:{digest.hexdigest()[:24]}"


def fingerprints(paths: Iterable[str]) -> dict[str, str]:
    """Return the fingerprint of each of ``paths`` that is a file of this machine."""
    found = ((path, fingerprint(path)) for path in dict.fromkeys(paths) if "://" not in path)
    return {path: seen for path, seen in found if seen is not None}


def changed_files(seen: Mapping[str, str]) -> list[str]:
    """Return the files that are here and hold something else than was ``seen``; one that is not here ROOT will miss
    itself."""
    return [path for path, version in seen.items() if (now := fingerprint(path)) is not None and now != version]
