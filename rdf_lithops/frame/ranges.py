"""The adapter: DistRDF's ranges as plain, versioned, JSON-dumpable dictionaries, and back.

A range dictionary holds only what differs from range to range. What all ranges of a dataset share (samples, and friends
and the file list where every range needs all of them) is the *dataset* dictionary, which travels once, with the function.

``kind`` is ``"entries"`` (an empty source), ``"files"`` (TTree, TChain, RDatasetSpec, RNTuple) or ``"pyrdf"`` (PyRDF's
ranges, of all its generations: entries of the chain of the range's own files). Another generation of ranges gets a kind
of its own here and nowhere else.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from ..files import remote
from .fields import DatasetFields, FriendsFields, RangeFields, SampleFields

__all__ = ["FORMAT_VERSION", "annotate", "describe", "expanded", "files_of", "from_plain", "sample_position", "to_plain"]

FORMAT_VERSION = 1

Plain = dict[str, Any]  # of RangeFields or DatasetFields, as JSON gives it back


def to_plain(ranges: list[Any]) -> tuple[list[RangeFields], DatasetFields]:
    """Turn DistRDF ranges into ``(range dictionaries, dataset dictionary)``, both JSON-dumpable."""
    dataset: DatasetFields = {"format": FORMAT_VERSION, "friends": None, "samples": [], "files": None, "trees": None}
    plain: list[RangeFields] = []
    for number, item in enumerate(ranges):
        if hasattr(item, "filenames"):
            plain.append(_files_to_plain(item, dataset))
        elif hasattr(item, "filelist"):
            plain.append(_pyrdf_to_plain(number, item, dataset))
        elif hasattr(item, "start") and hasattr(item, "end"):
            plain.append(
                {
                    "format": FORMAT_VERSION,
                    "kind": "entries",
                    "id": item.id,
                    "start": int(item.start),
                    "end": int(item.end),
                }
            )
        else:
            raise TypeError(f"expected a range of entries or of files, got {type(item).__name__}")
    return plain, dataset


def _files_to_plain(item: Any, dataset: DatasetFields) -> RangeFields:
    files, trees = [str(name) for name in item.filenames], [str(name) for name in item.treenames]
    plain: RangeFields = {
        "format": FORMAT_VERSION,
        "kind": "files",
        "id": item.id,
        "files": files,
        "trees": trees,
        "first_file": item.first_file_idx,
        "last_file": item.last_file_idx,
        "start_fraction": item.first_tree_start_perc,
        "end_fraction": item.last_tree_end_perc,
        "samples": None,
    }
    if getattr(item, "is_narrow", False):
        plain["friends"] = _friends_to_plain(item.friendinfo)
    elif item.friendinfo is not None:
        # Friends are aligned by global entry number, so every range carries the whole list: keep it once.
        dataset["friends"] = _friends_to_plain(item.friendinfo)
        dataset["files"], dataset["trees"] = files, trees
        plain["files"] = plain["trees"] = None
    if item.samples is not None:
        plain["samples"] = [sample_position(sample, dataset) for sample in item.samples]
    return plain


def _pyrdf_to_plain(number: int, item: Any, dataset: DatasetFields) -> RangeFields:
    """Return PyRDF's range ``number`` as a dictionary: it has no id of its own.

    Friends are aligned by entry number in the whole dataset, so with them each range must have all its files, which are kept
    once, in ``dataset``. Raises ValueError for a range that has not.
    """
    files = None if item.filelist is None else [str(name) for name in item.filelist]
    friends = getattr(item, "friend_info", None)  # the oldest ranges have none
    if friends:
        if dataset["files"] not in (None, files):
            raise ValueError(
                f"expected all files in every range of a dataset with friends, got {dataset['files']}, then {files}"
            )
        names = [[str(name), ""] for name in friends.friend_names]
        dataset["friends"] = {"names": names, "files": [[str(name) for name in some] for some in friends.friend_file_names]}
        dataset["files"], files = files, None
    return {
        "format": FORMAT_VERSION,
        "kind": "pyrdf",
        "id": number,
        "start": int(item.start),
        "end": int(item.end),
        "files": files,
    }


def _friends_to_plain(friends: Any) -> FriendsFields:
    return {
        "names": [[str(name), str(alias)] for name, alias in friends.fFriendNames],
        "files": [[expanded(str(name)) for name in files] for files in friends.fFriendFileNames],
        "trees": [[str(name) for name in trees] for trees in friends.fFriendChainSubNames],
    }


def expanded(name: str) -> str:
    """Return a local name with this process's variables and home folder in it, and a URL as it is."""
    return name if "://" in name else os.path.expanduser(os.path.expandvars(name))


def sample_position(sample: Any, dataset: DatasetFields) -> int | None:
    """Return where in the dataset's samples DistRDF's ``sample`` is; it is put there if it is not.

    A sample is known by its number in the specification, as names need not differ.
    """
    if sample is None:
        return None
    number, name = int(sample._sample.GetSampleId()), str(sample._sample.GetSampleName())
    for position, known in enumerate(dataset["samples"]):
        if (known["number"], known["name"]) == (number, name):
            return position
    state = sample.__getstate__()
    dataset["samples"].append(
        {
            "name": name,
            "trees": [str(tree) for tree in state["treenames"]],
            "files": [str(file) for file in state["filenames"]],
            "metadata": str(state["metadata"]),
            "number": number,
        }
    )
    return len(dataset["samples"]) - 1


def from_plain(plain: Plain, dataset: Plain, exec_id: Any) -> Any:
    """Make the range again: DistRDF's, under the execution identifier ``exec_id``, or PyRDF's. Call it in a ROOT process."""
    from ROOT._distrdf import Ranges

    if plain.get("format") != FORMAT_VERSION:
        raise ValueError(f"expected a range of format {FORMAT_VERSION}, got {plain.get('format')}")
    if plain["kind"] == "entries":
        return Ranges.EmptySourceRange(exec_id, plain["id"], plain["start"], plain["end"])
    files = plain["files"] if plain["files"] is not None else dataset["files"]
    if plain["kind"] == "pyrdf":
        return _pyrdf_from_plain(plain, dataset, files)
    trees = plain["trees"] if plain["trees"] is not None else dataset["trees"]
    samples = _samples_from_plain(dataset["samples"])
    return Ranges.TreeRangePerc(
        exec_id,
        plain["id"],
        trees,
        files,
        plain["first_file"],
        plain["last_file"],
        plain["start_fraction"],
        plain["end_fraction"],
        _friends_from_plain(plain.get("friends") or dataset["friends"]),
        None if plain["samples"] is None else [samples[position] for position in plain["samples"]],
    )


def annotate(item: Any, plain: Plain, dataset: Plain) -> None:
    """Put on a range of files what DistRDF's ranges do not say and ``opening`` needs."""
    item.shared, item.positions = dataset, plain["samples"]
    item.samples_of_dataset = _samples_from_plain(dataset["samples"])
    item.is_narrow, item.first_entry = bool(plain.get("friends")), plain.get("first_entry", 0)


class _Start(int):
    """A PyRDF range's first entry, which PyRDF also puts, as text, into the name of the range's Snapshot file.

    Entries are counted from the range's first file, so ranges of different files have equal ones: the text gives the
    range's id as well.
    """

    text: str

    def __str__(self) -> str:
        return self.text


def _pyrdf_from_plain(plain: Plain, dataset: Plain, files: list[str] | None) -> Any:
    """Return a namespace with the four attributes that PyRDF's mappers read of a range."""
    start, friends = _Start(plain["start"]), dataset["friends"]
    start.text = f"{plain['id']}_{plain['start']}"
    if friends is not None:
        names = [name for name, _ in friends["names"]]
        friends = SimpleNamespace(friend_names=names, friend_file_names=friends["files"])
    return SimpleNamespace(id=plain["id"], start=start, end=plain["end"], filelist=files, friend_info=friends)


def _friends_from_plain(friends: FriendsFields | None) -> Any:
    """Return a namespace with the three lists that DistRDF reads of an RFriendInfo; None without friends."""
    if friends is None:
        return None
    return SimpleNamespace(
        fFriendNames=[tuple(pair) for pair in friends["names"]],
        fFriendFileNames=friends["files"],
        fFriendChainSubNames=friends["trees"],
    )


def _samples_from_plain(samples: list[SampleFields]) -> dict[int | None, Any]:
    """Return DistRDF's samples by their position in the dataset; under None, for a file without one, is None."""
    from ROOT._distrdf.Ranges import SerializableRSample

    built: dict[int | None, Any] = {None: None}
    for position, plain in enumerate(samples):
        sample = built[position] = SerializableRSample.__new__(SerializableRSample)
        sample.__setstate__(
            {
                "samplenames": plain["name"],
                "treenames": plain["trees"],
                "filenames": plain["files"],
                "metadata": plain["metadata"],
            }
        )
    return built


def files_of(plain_ranges: list[Plain], dataset: Plain) -> set[str]:
    """Return the names of all files that the ranges read, friends' included."""
    friends = [plain["friends"] for plain in [dataset, *plain_ranges] if plain.get("friends")]
    lists = [plain.get("files") or () for plain in [dataset, *plain_ranges]]
    lists += [files for chains in friends for files in chains["files"]]
    return {name for files in lists for name in files}


def describe(plain: Plain, dataset: Plain) -> str:
    """Say in one line, for people, for which entries or files a range stands."""
    if plain["kind"] == "merge":
        return f"range {plain['id']}: {len(plain['sources'])} files into {plain['target']}"
    if plain["kind"] == "entries":
        return f"range {plain['id']}: entries {plain['start']} to {plain['end']}"
    files = plain["files"] if plain["files"] is not None else dataset["files"]
    if plain["kind"] == "pyrdf":
        where = (
            ""
            if files is None
            else f" of {remote.shown(files[0])}" + (f" and {len(files) - 1} more files" if files[1:] else "")
        )
        return f"range {plain['id']}: entries {plain['start']} to {plain['end']}{where}"
    files = [remote.shown(name) for name in files[plain["first_file"] : plain["last_file"]]]
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return f"range {plain['id']}: {plain['start_fraction']:.0%} to {plain['end_fraction']:.0%} of {shown}"
