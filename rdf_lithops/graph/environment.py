"""The program's own environment variables, which its C++ may read: workers get what it has set since it imported us.

What belongs to a system, a login or a tool stays where it is, and what may be a secret does not travel in the open: the
credentials of a run go their own way.
"""

from __future__ import annotations

import json
import os
import re

from ..processes import warm
from .recording import Step

__all__ = ["begin", "changed"]

_OF_A_MACHINE = re.compile(
    r"(_|.*PATH|HOME|USER|LOGNAME|SHELL|TERM|PWD|OLDPWD|SHLVL|HOSTNAME|DISPLAY|TE?MP|TMPDIR|COLUMNS|LINES|ROOTSYS)$"
    r"|(LD|DYLD|XDG|SSH|PYTHON|PYTEST|COVERAGE|VIRTUAL|CONDA|JPY|JUPYTER|IPY|MPL|QT|CLING|EXTRA_CLING|LITHOPS|RDF_LITHOPS"
    r"|SLURM|CONDOR|KUBERNETES|OMP|KMP|MKL|OPENBLAS|NUMEXPR|NUMBA|DASK|SPARK|XRD|DAVIX)_|(PYTHON|XRD|XrdSec|__)"
)
_SECRET = re.compile(
    r"AWS|AZURE|GOOGLE|GCP|X509|KRB5|TOKEN|SECRET|PASS|CREDENTIAL|KEY|AUTH|COOKIE|SIGNATURE|PROXY", re.IGNORECASE
)
_URL_WITH_SECRET = re.compile(r"://[^/\s]*@|://\S*\?\S*=")  # a user's password, or a signature
_at_first: dict[str, str] = {}


def begin() -> None:
    """What is there now was there before the program."""
    _at_first.clear()
    _at_first.update(os.environ)


def changed() -> list[Step]:
    """One step that sets what the program has set since, and unsets what it has unset; none where it has done neither."""
    before = [_at_first, warm.inherited] if warm.inherited else [_at_first]  # of workers elsewhere, and of this machine's
    changes = {
        name: value
        for name, value in os.environ.items()
        if _travels(name) and any(then.get(name) != value for then in before)
    }
    now = {name: value for name, value in changes.items() if not _URL_WITH_SECRET.search(value)}
    gone = sorted(name for name in {**_at_first, **warm.inherited}.keys() - os.environ.keys() if _travels(name))
    if not now and not gone:
        return []
    return [Step("environment", json.dumps({"set": now, "unset": gone}, sort_keys=True), "os.environ")]


def _travels(name: str) -> bool:
    return not _OF_A_MACHINE.match(name) and not _SECRET.search(name)
