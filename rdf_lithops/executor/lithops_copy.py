"""Lithops' copy of its own package on this machine, which the first program makes and those after it use.

Lithops 3.8 copies its 260 files for the localhost back end in every program, in 0.1 to 0.4 s: what it has copied it
remembers within one program alone.
"""

from __future__ import annotations

import contextlib
import os

import lithops
from lithops.constants import LITHOPS_TEMP_DIR
from lithops.localhost import utils

__all__ = ["keep"]


def keep() -> None:  # decision 377
    """Have Lithops take the copy that is there for made, if it is ours, and has as many files and the newest from the same
    moment: what Lithops itself looks at. To be called before this program's first executor is made."""
    package, copy = os.path.dirname(os.path.abspath(lithops.__file__)), os.path.join(LITHOPS_TEMP_DIR, "lithops")
    with contextlib.suppress(OSError, AttributeError):  # there is none, or another Lithops, which copies as it likes
        found = utils._source_fingerprint(package)
        if os.stat(copy).st_uid == os.getuid() and utils._source_fingerprint(copy) == found:
            utils._COPIED_PACKAGES.add((package, LITHOPS_TEMP_DIR, found))
