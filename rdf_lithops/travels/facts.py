"""What is said of a call beside its result: where it ran, what it took. Numbers whose unit is in their name."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Began", "Facts", "UnitFacts"]


class Began(TypedDict, total=False):
    """When a task's function was called, and in which process; from the task to the ROOT process that works for it."""

    asked: float  # seconds of ``perf_counter``, which all processes of a machine share
    process: int  # the process that forked the task's
    process_at: float  # when that one was started, Unix seconds; 0 if it was there already, as for its second invocation
    invoked_at: float  # when the invocation began, Unix seconds; 0 where no entry point noted it
    restored: bool  # the process is a copy of a snapshot, and this its first invocation
    compiled_from: float  # when its graph was compiled ahead, ``perf_counter``; 0 if it was not
    compiled_until: float


class Facts(TypedDict, total=False):
    """What is known of a call, as its envelope has it. The seconds of the parts (``payload_s`` to ``decompress_s``) do not
    overlap."""

    pid: int  # the process that worked: a slot, or the task itself
    host: str  # the machine or sandbox
    process: int  # see Began
    process_at: float
    invoked_at: float
    restored: bool
    initialise_s: float  # from the call of the task's function to the start of work: ROOT's start, and the way there
    payload_s: float  # loading the user's code
    graph_s: float  # building the graph, or cloning its actions
    compile_s: float
    open_s: float  # opening the ranges' files
    loop_s: float  # ROOT's event loop, without reads and decompression
    read_s: float
    decompress_s: float
    output_s: float  # putting a Snapshot's parts where they belong
    merge_s: float  # merging the results of the call's ranges
    serialise_s: float
    call_s: float  # all of it, from the call of the task's function on
    read_bytes: int  # that ROOT read of files
    fetched_bytes: int  # that servers sent to the reader for it
    fetches: int  # requests for them
    library_actions: int  # kinds of actions of a new graph that came from instantiation libraries
    cling_actions: int  # and that Cling instantiated
    instantiated: list[str]  # lines of C++ that Cling had to instantiate, on a machine where nobody makes libraries
    left_out: list[str]  # instantiation libraries that came with the run and do not load here
    peak_memory_mib: float
    stored_bytes: int  # of an envelope that lies on a shelf
    fold_s: float  # of a call that folds
    in_line: bool  # of partials that are handed on together: whether one call folds them all, in a line
    units: list[UnitFacts]  # of a call of several graphs


class UnitFacts(Facts, total=False):
    """What is known of a unit: what would be a call, if its graph ran alone."""

    range_id: int  # its first range, as the plan numbers it
    entries: int | None
