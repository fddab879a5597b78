"""What a task asks of a ROOT process: the fields of its request, one a line. It travels as JSON, with blobs behind it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ..files.access import GrantFields
from ..travels.facts import Began

__all__ = ["Request"]


class Request(TypedDict, total=False):
    """A request; its blobs: the credentials if it ``has_credentials``, the user's ``initialize``, then what ``op`` needs.

    ``run`` and ``compile`` have the pickled graphs behind it, ``fold`` the pickled reducer; ``merge`` nothing.
    """

    op: Literal["run", "compile", "fold", "merge"]
    cwd: str  # the driver's working folder, "" for one that is gone
    umask: int | None  # the driver's; None where it cannot be told
    payload: dict[str, Any]  # the user's code (see ``payload``)
    payload_folder: str | None  # where it is unpacked on this machine
    library_root: str  # for which ROOT the instantiation libraries are that came with the run (see ``libraries``)
    library_folders: list[str]  # where they are unpacked
    has_credentials: bool
    faults: dict[str, Any]  # a script for tests
    began: Began  # when the task was called
    # run, compile and merge
    call: dict[str, Any]  # see frame.fields.CallFields
    # run and merge
    access: GrantFields
    tries: int  # how often the process may end before the call is given up
    # run and compile
    graph_digest: str  # names the compiled graph
    dataset: dict[str, Any]  # see frame.fields.DatasetFields
    shared: bool  # other calls of this run come to this machine at the same time
    # run
    seed: int
    results: dict[str, Any]  # the fields of execute.Results
    more: list[Request]  # what else is to run, one after the other: several graphs in one call
    first_id: int  # of such a one: what the plan adds to the numbers of its ranges
    code: int  # and which of the blobs is its graph
    # fold
    orders: list[Any]  # of each result the nested positions of its partials (see fold.order)
    attempt: int
