"""The adapter: DistRDF's ranges become plain dictionaries that survive JSON, and come back as the same ranges."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from ROOT._distrdf import Ranges
from ROOT._distrdf._graph_cache import ExecutionIdentifier

from rdf_lithops.frame import ranges as adapter

EXEC_ID = ExecutionIdentifier("data frame", "graph")
TEXT = st.text("abcXYZ012_-. éλ", min_size=1, max_size=12)  # what is no glob, query or fragment to ROOT
TREES = st.from_regex(r"([a-z]{1,4}/)?[A-Za-z_]\w{0,8}", fullmatch=True, alphabet="abcdXYZ_019/")
FILES = st.lists(TEXT.map(lambda name: f"/no such folder/{name}.root"), min_size=1, max_size=12)
METADATA = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5), st.integers(-(2**31), 2**31 - 1) | st.text("xyz ", max_size=5), max_size=3
)


@st.composite
def entry_ranges(draw: st.DrawFn) -> list[Any]:
    """The ranges of an empty source, as DistRDF cuts them."""
    entries = draw(st.integers(1, 2**62))
    return list(Ranges.get_balanced_ranges(entries, draw(st.integers(1, min(entries, 60))), EXEC_ID))


@st.composite
def friend_lists(draw: st.DrawFn) -> Any:
    """The three lists that DistRDF reads of an RFriendInfo."""
    names = draw(st.lists(st.tuples(TEXT, st.text(max_size=5)), min_size=1, max_size=3))
    files = [draw(FILES) for _ in names]
    return SimpleNamespace(
        fFriendNames=names,
        fFriendFileNames=files,
        fFriendChainSubNames=[draw(st.just([]) | st.just(["sub"] * len(some))) for some in files],
    )


@st.composite
def sample_maps(draw: st.DrawFn, files: list[str], trees: list[str]) -> dict[str, Any]:
    """A sample for every file, as an RDatasetSpec would give it."""
    made = {}
    cuts = sorted({0, *draw(st.lists(st.integers(0, len(files) - 1), max_size=3)), len(files)})
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        metadata = ROOT.RDF.Experimental.RMetaData()
        for key, value in draw(METADATA).items():
            metadata.Add(key, value)
        sample = ROOT.RDF.Experimental.RSample(f"sample {number}", trees[start:end], files[start:end], metadata)
        for file, tree in zip(files[start:end], trees[start:end], strict=True):
            made[f"{file}/{tree}"] = Ranges.SerializableRSample(sample)
    return made


@st.composite
def file_ranges(draw: st.DrawFn) -> list[Any]:
    """The ranges of a dataset in files, as DistRDF cuts them: with or without friends and samples."""
    files = draw(FILES)
    trees = draw(st.lists(TREES, min_size=len(files), max_size=len(files)))
    friends = draw(st.none() | friend_lists())
    samples = draw(sample_maps(files, trees)) if draw(st.booleans()) else None
    return list(Ranges.get_percentage_ranges(trees, files, draw(st.integers(1, 40)), friends, EXEC_ID, samples))


def fields_of(item: Any) -> dict[str, Any]:
    """What a range says, as values that compare: friends and samples by what DistRDF reads of them."""
    fields = dict(vars(item))
    friends = fields.get("friendinfo")
    if friends is not None:
        fields["friendinfo"] = {
            "names": [tuple(pair) for pair in friends.fFriendNames],
            "files": [list(some) for some in friends.fFriendFileNames],
            "trees": [list(some) for some in friends.fFriendChainSubNames],
        }
    if fields.get("samples") is not None:
        fields["samples"] = [None if sample is None else sample_fields(sample) for sample in fields["samples"]]
    return fields


def sample_fields(sample: Any) -> dict[str, Any]:
    """A sample's state as plain values."""
    state = sample.__getstate__()
    return {
        "name": str(state["samplenames"]),
        "trees": [str(tree) for tree in state["treenames"]],
        "files": [str(file) for file in state["filenames"]],
        "metadata": json.loads(str(state["metadata"])),
    }


@given(entry_ranges() | file_ranges())
@settings(deadline=None, max_examples=150)
def test_round_trip_through_json(ranges: list[Any]) -> None:
    """Ranges to dictionaries, to JSON text, and back are the same ranges."""
    plain, dataset = adapter.to_fields(ranges)
    plain_again, dataset_again = json.loads(json.dumps([plain, dataset], allow_nan=False))
    assert (plain, dataset) == (plain_again, dataset_again)
    rebuilt = [adapter.from_fields(item, dataset_again, EXEC_ID) for item in plain_again]
    assert [fields_of(item) for item in ranges] == [fields_of(item) for item in rebuilt]
    assert [type(item) for item in ranges] == [type(item) for item in rebuilt]


@given(entry_ranges() | file_ranges())
@settings(deadline=None, max_examples=50)
def test_dictionaries_are_plain_and_described(ranges: list[Any]) -> None:
    """Only exact built-in types travel, each range says its format and id, and has one line for people."""
    plain, dataset = adapter.to_fields(ranges)

    def foreign_types(value: Any) -> set[type]:
        if type(value) is dict:
            return {t for key, inner in value.items() for t in (foreign_types(key) | foreign_types(inner))}
        if type(value) is list:
            return {t for inner in value for t in foreign_types(inner)}
        return {type(value)} - {str, int, float, bool, type(None)}

    assert set() == foreign_types([plain, dataset])
    assert [item.id for item in ranges] == [item["id"] for item in plain]
    assert {adapter.FORMAT_VERSION} == {item["format"] for item in plain}
    assert all(adapter.describe(item, dataset).startswith(f"range {item['id']}: ") for item in plain)


def test_friends_keep_the_file_list_once() -> None:
    """With friends every range needs all files: they travel once with the dataset, not in each range."""
    files = [f"f{i}.root" for i in range(50)]
    friends = SimpleNamespace(fFriendNames=[("t", "a")], fFriendFileNames=[files], fFriendChainSubNames=[[]])
    plain, dataset = adapter.to_fields(Ranges.get_percentage_ranges(["t"] * 50, files, 10, friends, EXEC_ID, None))
    assert [None] * 10 == [item["files"] for item in plain]
    assert files == dataset["files"]


@pytest.mark.parametrize("format_version", [None, 0, 99])
def test_other_format_is_refused(format_version: int | None) -> None:
    """A range of another version of the format is an error that says both versions."""
    plain, dataset = adapter.to_fields(Ranges.get_balanced_ranges(10, 1, EXEC_ID))
    with pytest.raises(ValueError, match=f"expected a range of format {adapter.FORMAT_VERSION}, got {format_version}"):
        adapter.from_fields({**plain[0], "format": format_version}, dataset, EXEC_ID)


def test_foreign_range_is_refused() -> None:
    """Something that is no range is a TypeError by the name of its type."""
    with pytest.raises(TypeError, match="expected a range of entries or of files, got SimpleNamespace"):
        adapter.to_fields([SimpleNamespace(id=0)])
