"""Whether data opens here as a run would open it: a program of its own, as some servers are waited for without end.

``python -m rdf_lithops.graph.openable FOLDER`` reads the source, which may hold a secret, from its standard input and prints
JSON: ``files``, or ``wrong`` and ``next``. The private FOLDER is where it meets the reader of remote files, which ends with
it.
"""

from __future__ import annotations

import glob
import json
import sys
from multiprocessing.connection import Connection
from typing import Any

from ..dataset import names as dataset
from ..errors import DataAccessError, PlanError, RdfLithopsError
from ..files import access

# isort: split
import ROOT

__all__ = ["main", "opened"]


def opened(source: str, folder: str) -> list[str]:
    """The files that ``source`` stands for, of which the first has been opened. Raises DataAccessError, PlanError."""
    holds: list[Connection[Any, Any]] = []

    def reader_folder() -> str:
        if not holds:
            holds.append(access.hold(folder, {}))
        return folder

    given = sorted(glob.glob(source)) if not access.is_remote(source) and glob.has_magic(source) else [source]
    if not given:
        raise PlanError(f"expected files that match {source}, found none")
    _, names = dataset.resolved(("", given), reader_folder)
    try:
        with ROOT.TFile.Open(names[0]):
            return [str(name) for name in names]
    except OSError as error:
        refused = dataset.refused()
        raise refused or DataAccessError("ROOT does not open it: it is not there, or no ROOT file") from error


def main() -> None:
    """Open what the standard input names."""
    ROOT.gErrorIgnoreLevel = ROOT.kFatal
    try:
        print(json.dumps({"files": opened(sys.stdin.read(), sys.argv[1])}))  # noqa: T201  # to who started it
    except RdfLithopsError as error:
        what, why = getattr(error, "what", "") or str(error).partition("\n")[0], getattr(error, "why", "")
        found = {"wrong": f"{what}: {why}" if why else what, "next": getattr(error, "next_command", "")}
        print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
