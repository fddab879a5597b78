"""The fields of the dictionaries in which a dataset, its ranges and calls travel: what JSON can hold, one field a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

__all__ = [
    "CallFields",
    "DatasetFields",
    "FriendReferenceFields",
    "FriendsFields",
    "RangeFields",
    "ReferenceFields",
    "SampleFields",
]


class FriendsFields(TypedDict, total=False):
    """The friends of a dataset, each at the same position of each list."""

    names: list[list[str]]  # name and alias ("" for none)
    files: list[list[str]]  # of each friend its files
    trees: list[list[str]]  # and the tree in each file; PyRDF's ranges say none


class SampleFields(TypedDict):
    """A sample of a specification."""

    name: str
    trees: list[str]
    files: list[str]
    metadata: str  # JSON, as ROOT writes it
    number: int  # in the specification: names need not differ


class FriendReferenceFields(TypedDict):
    """The first file with entries of a friend."""

    file: str
    types: dict[str, str]  # by column
    columns: list[str] | None  # those that were asked for; None: all


class ReferenceFields(TypedDict):
    """The file that says which columns the dataset has (see ``graph.reference``)."""

    file: str
    tree: str
    entries: int
    types: dict[str, str]  # by column
    columns: list[str] | None  # those that were asked for; None: all
    sample: int | None  # position in the dataset's samples
    is_odd: bool  # its tree has another name than its key
    friends: list[FriendReferenceFields]


class DatasetFields(TypedDict, total=False):
    """What all ranges of a dataset share; travels once, with the function."""

    format: int  # see ranges.FORMAT_VERSION
    friends: FriendsFields | None  # where every range needs all of them
    samples: list[SampleFields]
    files: list[str] | None  # where every range needs all of them
    trees: list[str] | None
    seen: dict[str, str]  # fingerprints of local files, by name
    reference: ReferenceFields
    is_empty: bool  # no file has an entry
    has_masks: bool  # a Snapshot with variations wrote it
    friend_indices: list[Sequence[str] | None]  # of each friend the major and minor name of its index, if it has one
    selection: str | None  # which entries are meant (see ``selection.packed``); None: all
    entry_range: Sequence[int] | None  # the range of a specification: first entry, and the one behind it
    tells_samples: bool  # the graph uses ``rdfsampleinfo_``
    entries: int  # of a dataset without files, if so
    settings: dict[str, bool | str]  # ROOT's of the driver (see ``settings.here``)


class RangeFields(TypedDict, total=False):
    """One range. Which fields there are depends on ``kind``."""

    format: int
    kind: Literal["entries", "files", "pyrdf", "merge"]
    id: int  # in the order of the dataset
    graph: int  # of several graphs in one run, which
    unit: int  # and which call it would be in, if that graph ran alone
    half: list[int]  # which half of a range that was cut: a path of 0 and 1
    seen: dict[str, str]  # as in DatasetFields, of its own files
    # entries, and pyrdf (where they count from the first of its own files)
    start: int
    end: int  # the entry behind its last one
    # files, pyrdf; None: those of the dataset
    files: list[str] | None
    trees: list[str] | None
    # files
    first_file: int  # index of the first file that it reads
    last_file: int  # index behind the last
    start_fraction: float  # of the first file's entries: the range begins with the next cluster
    end_fraction: float  # of the last file's
    samples: list[int | None] | None  # of each file, its position in the dataset's samples
    friends: FriendsFields  # its own, where it does not need all of them
    rntuple: bool
    first_entry: int  # the entry number, in the dataset, of its first file's first entry
    entries: int  # if its files were surveyed
    read_bytes: int  # compressed, of the columns that are read; if surveyed
    clusters: int  # if surveyed
    # merge: parts of a Snapshot that become one file
    tree: str
    sources: list[str]
    target: str


class CallFields(TypedDict, total=False):
    """One call: what Lithops hands to the task, inside ``{"call": ...}``."""

    id: int  # in the order of the plan; what a call is divided into gets new ones
    ranges: list[RangeFields]
    attempt: int  # 1 for the first, where it is not
    tries: int  # how often its ROOT process may end before the call is given up
    partials: list[bytes]  # packed, of a call that folds
