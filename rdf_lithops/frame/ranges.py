"""The adapter: DistRDF's ranges, cut by ``dataset.layout``, as plain, versioned, JSON-dumpable dictionaries, and back.

A range dictionary holds only what differs from range to range. What all ranges of a dataset share (samples, and friends
and the file list where every range needs all of them) is the *dataset* dictionary, which travels once, with the function.

``kind`` is ``"entries"`` (an empty source), ``"files"`` (TTree, TChain, RDatasetSpec, RNTuple) or ``"pyrdf"`` (PyRDF's
ranges, of all its generations: entries of the chain of the range's own files). Another generation of ranges gets a kind
of its own here and nowhere else.
"""

from __future__ import annotations

import glob
import os
from types import SimpleNamespace
from typing import Any

from ..files import remote
from .fields import DatasetFields, FriendsFields, RangeFields, SampleFields

__all__ = [
    "FORMAT_VERSION",
    "annotate",
    "describe",
    "expanded",
    "files_of",
    "from_fields",
    "sample_position",
    "to_fields",
    "without_options",
]

FORMAT_VERSION = 2

Fields = dict[str, Any]  # of RangeFields or DatasetFields, as JSON gives it back


def to_fields(ranges: list[Any]) -> tuple[list[RangeFields], DatasetFields]:
    """Turn DistRDF ranges into ``(range dictionaries, dataset dictionary)``, both JSON-dumpable."""
    dataset: DatasetFields = {"format": FORMAT_VERSION, "friends": None, "samples": [], "files": None, "trees": None}
    fields: list[RangeFields] = []
    for number, item in enumerate(ranges):
        if hasattr(item, "filenames"):
            fields.append(_files_to_fields(item, dataset))
        elif hasattr(item, "filelist"):
            fields.append(_pyrdf_to_fields(number, item, dataset))
        elif hasattr(item, "start") and hasattr(item, "end"):
            fields.append(
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
    return fields, dataset


def _files_to_fields(item: Any, dataset: DatasetFields) -> RangeFields:
    files, trees = [str(name) for name in item.filenames], [str(name) for name in item.treenames]
    fields: RangeFields = {
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
        fields["friends"] = _friends_to_fields(item.friendinfo)
    elif item.friendinfo is not None:
        # Friends are aligned by global entry number, so every range carries the whole list: keep it once.
        dataset["friends"] = _friends_to_fields(item.friendinfo)
        dataset["files"], dataset["trees"] = files, trees
        fields["files"] = fields["trees"] = None
    if item.samples is not None:
        fields["samples"] = [sample_position(sample, dataset) for sample in item.samples]
    return fields


def _pyrdf_to_fields(number: int, item: Any, dataset: DatasetFields) -> RangeFields:
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


def _friends_to_fields(friends: Any) -> FriendsFields:
    return {
        "names": [[str(name), str(alias)] for name, alias in friends.fFriendNames],
        "files": [[expanded(str(name)) for name in files] for files in friends.fFriendFileNames],
        "trees": [[str(name) for name in trees] for trees in friends.fFriendChainSubNames],
    }


def expanded(name: str) -> str:
    """Return a local name with this process's variables and home folder in it, and a URL as it is."""
    return name if "://" in name else os.path.expanduser(os.path.expandvars(name))


def without_options(name: str) -> str:
    """Return a local name without options of a URL behind it, which ROOT drops where it tells of which sample a file is."""
    place, mark, options = name.partition("?")
    has_options = bool(mark) and "#" not in options and not glob.glob(name) and os.path.exists(place)
    return place if has_options else name


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


def from_fields(fields: Fields, dataset: Fields, exec_id: Any) -> Any:
    """Make the range again: DistRDF's, under the execution identifier ``exec_id``, or PyRDF's. Call it in a ROOT process."""
    from ROOT._distrdf import Ranges

    if fields.get("format") != FORMAT_VERSION:
        raise ValueError(f"expected a range of format {FORMAT_VERSION}, got {fields.get('format')}")
    if fields["kind"] == "entries":
        return Ranges.EmptySourceRange(exec_id, fields["id"], fields["start"], fields["end"])
    files = fields["files"] if fields["files"] is not None else dataset["files"]
    if fields["kind"] == "pyrdf":
        return _pyrdf_from_fields(fields, dataset, files)
    trees = fields["trees"] if fields["trees"] is not None else dataset["trees"]
    samples, friends = _samples_from_fields(dataset["samples"]), fields.get("friends") or dataset["friends"]
    return Ranges.TreeRangePerc(
        exec_id,
        fields["id"],
        trees,
        files,
        fields["first_file"],
        fields["last_file"],
        fields["start_fraction"],
        fields["end_fraction"],
        None if friends is None else _friends_from_fields(friends),
        None if fields["samples"] is None else [samples[position] for position in fields["samples"]],
    )


def annotate(item: Any, fields: Fields, dataset: Fields) -> None:
    """Put on a range of files what DistRDF's ranges do not say and ``opening`` needs."""
    item.shared, item.positions = dataset, fields["samples"]
    item.samples_of_dataset = _samples_from_fields(dataset["samples"])
    item.is_narrow, item.first_entry = bool(fields.get("friends")), fields.get("first_entry", 0)


class _Start(int):
    """A PyRDF range's first entry, which PyRDF also puts, as text, into the name of the range's Snapshot file.

    Entries are counted from the range's first file, so ranges of different files have equal ones: the text gives the
    range's id as well.
    """

    text: str

    def __str__(self) -> str:
        return self.text


def _pyrdf_from_fields(fields: Fields, dataset: Fields, files: list[str] | None) -> Any:
    """Return a namespace with the four attributes that PyRDF's mappers read of a range."""
    start, friends = _Start(fields["start"]), dataset["friends"]
    start.text = f"{fields['id']}_{fields['start']}"
    if friends is not None:
        names = [name for name, _ in friends["names"]]
        friends = SimpleNamespace(friend_names=names, friend_file_names=friends["files"])
    return SimpleNamespace(id=fields["id"], start=start, end=fields["end"], filelist=files, friend_info=friends)


def _friends_from_fields(friends: FriendsFields) -> Any:
    """Return a namespace with the three lists that DistRDF reads of an RFriendInfo."""
    return SimpleNamespace(
        fFriendNames=[tuple(pair) for pair in friends["names"]],
        fFriendFileNames=friends["files"],
        fFriendChainSubNames=friends["trees"],
    )


def _samples_from_fields(samples: list[SampleFields]) -> dict[int | None, Any]:
    """Return DistRDF's samples by their position in the dataset; under None, for a file without one, is None."""
    from ROOT._distrdf.Ranges import SerializableRSample

    built: dict[int | None, Any] = {None: None}
    for position, fields in enumerate(samples):
        sample = built[position] = SerializableRSample.__new__(SerializableRSample)
        sample.__setstate__(
            {
                "samplenames": fields["name"],
                "treenames": fields["trees"],
                "filenames": fields["files"],
                "metadata": fields["metadata"],
            }
        )
    return built


def files_of(plain_ranges: list[Fields], dataset: Fields) -> set[str]:
    """Return the names of all files that the ranges read, friends' included."""
    friends = [fields["friends"] for fields in [dataset, *plain_ranges] if fields.get("friends")]
    lists = [fields.get("files") or () for fields in [dataset, *plain_ranges]]
    lists += [files for chains in friends for files in chains["files"]]
    return {name for files in lists for name in files}


def describe(fields: Fields, dataset: Fields) -> str:
    """Say in one line, for people, for which entries or files a range stands."""
    if fields["kind"] == "merge":
        return f"range {fields['id']}: {len(fields['sources'])} files into {fields['target']}"
    if fields["kind"] == "entries":
        return f"range {fields['id']}: entries {fields['start']} to {fields['end']}"
    files = fields["files"] if fields["files"] is not None else dataset["files"]
    if fields["kind"] == "pyrdf":
        where = (
            ""
            if files is None
            else f" of {remote.shown(files[0])}" + (f" and {len(files) - 1} more files" if files[1:] else "")
        )
        return f"range {fields['id']}: entries {fields['start']} to {fields['end']}{where}"
    files = [remote.shown(name) for name in files[fields["first_file"] : fields["last_file"]]]
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return f"range {fields['id']}: {fields['start_fraction']:.0%} to {fields['end_fraction']:.0%} of {shown}"
