"""What an image must be able to do, tried where it runs: one line of JSON.

    {"versions": {...}, "checks": {name: "ok" or what went wrong}, "seconds": {name: ...}}

Status 0 if all checks are ok. Needs no network and writes to the temporary folder only. With ``--root`` being root is all
right, as it is while an image is built.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ... import _version
from .initialisation import initialise

__all__ = ["main", "versions"]

ENTRIES = 1000
FAR_SIDE = ("files", "fold", "frame", "processes", "travels", "worker")  # the folders that a worker needs
LATE_IMPORTS = ("boto3", "cryptography.fernet", "obstore.store")  # by calls that need them: credentials, object stores


def versions() -> dict[str, str]:
    """Of what has to be the same on driver and worker, all but ROOT's, which ROOT alone knows."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "rdf_lithops": _version.__version__}
    try:
        found["lithops"] = importlib.metadata.version("lithops")
    except importlib.metadata.PackageNotFoundError:
        found["lithops"] = "absent"
    return found


def _starts() -> str:
    return initialise()


def _compiles() -> str:
    """Expressions that no precompiled module holds: without the C++ headers these crash or give nonsense."""
    import ROOT

    frame = ROOT.RDataFrame(ENTRIES).Define("v", "std::vector<double>{1.5 * rdfentry_, 2.0}").Filter("v[0] > 15.0")
    total = frame.Define("s", "ROOT::VecOps::Sum(ROOT::RVecD(v))").Sum("s")
    expected = sum(1.5 * i + 2.0 for i in range(11, ENTRIES))
    return "" if abs(total.GetValue() - expected) < 1e-6 else f"expected a sum of {expected}, got {total.GetValue()}"


def _fills_a_histogram() -> str:
    import ROOT

    frame = ROOT.RDataFrame(ENTRIES).Define("x", "double(rdfentry_ % 10)")
    bins = frame.Histo1D(("h", "", 10, 0.0, 10.0), "x").GetValue()
    wrong = [i for i in range(1, 11) if bins.GetBinContent(i) != ENTRIES / 10]
    return f"expected {ENTRIES // 10} entries in each bin, bins {wrong} differ" if wrong else ""


def _writes_and_reads_a_snapshot() -> str:
    import ROOT

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "snapshot.root")
        ROOT.RDataFrame(ENTRIES).Define("x", "rdfentry_").Snapshot("tree", path, ["x"])
        count = ROOT.RDataFrame("tree", path).Max("x").GetValue()
    return "" if count == ENTRIES - 1 else f"expected {ENTRIES - 1} as the largest value, got {count}"


def _has_xrootd() -> str:
    """The plug-in loads and the class is there; nothing is contacted."""
    import ROOT

    if ROOT.gSystem.Load("libNetxNG") < 0:
        return "ROOT's XRootD plug-in (libNetxNG) does not load"
    return "" if ROOT.TClass.GetClass("TNetXNGFile") else "there is no class TNetXNGFile"


def _keeps_a_warm_process() -> str:
    """The folder of the warm ROOT process can be made here, private, in the temporary folder."""
    from ...processes import warm

    try:
        warm.folder_for(None)
    except warm.WarmProcessUnavailable as reason:
        return str(reason)
    return ""


def _imports() -> str:
    """Every module of the far side finds what it imports, but the entry point, which starts things when it is imported."""
    for folder in FAR_SIDE:
        package = importlib.import_module(f"rdf_lithops.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".lambda_handler"):
                importlib.import_module(module.name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    return ""


def _runs_as_a_user() -> str:
    return "runs as root; the image should name a user" if os.getuid() == 0 else ""


_CHECKS: dict[str, Callable[[], str]] = {
    "imports": _imports,
    "compile": _compiles,
    "histogram": _fills_a_histogram,
    "snapshot": _writes_and_reads_a_snapshot,
    "xrootd": _has_xrootd,
    "warm_process": _keeps_a_warm_process,
    "user": _runs_as_a_user,
}


def main() -> int:
    """Run all checks and print the outcome; returns the exit status."""
    began = time.perf_counter()
    outcome: dict[str, Any] = {"versions": {**versions(), "root": _starts()}, "checks": {}, "seconds": {}}
    outcome["seconds"]["start"] = round(time.perf_counter() - began, 3)
    for name, check in _CHECKS.items():
        if name == "user" and "--root" in sys.argv[1:]:
            continue
        began = time.perf_counter()
        try:
            problem = check()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        outcome["checks"][name] = problem or "ok"
        outcome["seconds"][name] = round(time.perf_counter() - began, 3)
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if set(outcome["checks"].values()) == {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
