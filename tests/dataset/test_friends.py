"""With friends each range has the files that it needs and no others, and the events are those of local RDataFrame."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import ROOT
from datasets import ENTRIES, Datasets, write_friend_file, write_main_file
from hypothesis import given
from hypothesis import strategies as st
from servers.s3 import S3
from test_remote import Bucket, bucket, s3_here  # noqa: F401  # fixtures

import rdf_lithops
from rdf_lithops.dataset.friends import Friend, first_needed, narrowed

sizes = st.lists(st.integers(0, 6), min_size=1, max_size=6)
_kept: list[Any] = []


def friend(entries: list[int], name: str = "f") -> Friend:
    """A friend whose files have so many entries."""
    files = tuple(f"{name}{number}" for number in range(len(entries)))
    return Friend(name, "", files, ("t",) * len(files), tuple(itertools.accumulate(entries, initial=0)))


@given(sizes, st.lists(sizes, min_size=1, max_size=3), st.data())
def test_a_range_gets_what_it_needs(main: list[int], others: list[list[int]], data: st.DataObject) -> None:
    """Files begin together at the first entry, hold all entries of the range, and the last of them is needed."""
    before = list(itertools.accumulate(main, initial=0))
    friends = [friend([*entries, before[-1]], f"f{number}_") for number, entries in enumerate(others)]  # none is shorter
    first_file = data.draw(st.integers(0, len(main) - 1))
    last_file = data.draw(st.integers(first_file, len(main) - 1))
    start = first_needed(before, friends, first_file)
    assert start is not None
    assert start <= first_file
    kept = narrowed(friends, before[start], before[last_file + 1])
    for whole, files in zip(friends, kept.fFriendFileNames, strict=True):
        first, stop = whole.files.index(files[0]), whole.files.index(files[-1]) + 1
        assert list(whole.files[first:stop]) == files
        assert before[start] == whole.before[first]
        assert whole.before[stop] >= before[last_file + 1]
        assert len(files) == 1 or whole.before[stop - 1] < before[last_file + 1]


def test_where_files_begin_together() -> None:
    """The nearest entry before the range is taken; a friend that is too short leaves the question to ROOT."""
    before = [0, 10, 20, 30, 40]
    assert [0, 1, 2, 3] == [first_needed(before, [friend([10, 10, 10, 10])], file) for file in range(4)]
    assert [0, 0, 2, 2] == [first_needed(before, [friend([5, 15, 20])], file) for file in range(4)]
    assert [0, 0, 0, 3] == [first_needed(before, [friend([10, 20, 10]), friend([30, 30])], file) for file in range(4)]
    assert first_needed(before, [friend([10, 10])], 2) is None


def answer(main: list[str], friends: list[str], **given: Any) -> list[Any]:
    """Booked results over a chain with a friend: aligned entries, a sum over both, entry numbers."""
    chain, other = ROOT.TChain("events"), ROOT.TChain("friends")
    for name in main:
        chain.Add(name)
    for name in friends:
        other.Add(name)
    chain.AddFriend(other, "fr")
    _kept.append(other)  # the chain refers to it
    frame = ROOT.RDataFrame(chain, **given)
    aligned = frame.Filter("fr.fi == i && ULong64_t(fr.fi) == rdfentry_")
    _kept.append(chain)
    return [aligned.Count(), frame.Define("both", "fr.fx * x").Sum("both"), aligned.Max("i")]


def files_of(plan: Any) -> list[tuple[list[str], list[str]]]:
    """The main files and the friends' files of each range of a plan."""
    ranges = [plain for item in plan.iterdata for plain in item["call"]["ranges"]]
    return [(plain["files"], [name for files in plain["friends"]["files"] for name in files]) for plain in ranges]


def values(booked: list[Any]) -> list[Any]:
    """Their values; sums to the digits that any order gives."""
    return [pytest.approx(result.GetValue(), rel=1e-12) for result in booked]


def test_files_of_friends_that_end_where_the_datasets_do(fexec: Any, tmp_path: Path) -> None:
    """Six files and their friends in three ranges: each has its own two and two, wherever the dataset lies."""
    main = [write_main_file(tmp_path / f"main_{number}.root", 40 * number, 40) for number in range(6)]
    friends = [write_friend_file(tmp_path / f"friend_{number}.root", 40 * number, 40) for number in range(6)]
    booked = answer(main, friends, executor=fexec, npartitions=3, options={"survey": True})
    assert [(main[at : at + 2], friends[at : at + 2]) for at in (0, 2, 4)] == files_of(rdf_lithops.plan(booked[0]))
    assert values(answer(main, friends)) == [result.GetValue() for result in booked]


def test_files_of_friends_that_end_elsewhere(files: Datasets, fexec: Any) -> None:
    """Ranges begin with the files where both chains begin together, and the answer is that of one core."""
    booked = answer(files.main, files.friends, executor=fexec, npartitions=5, options={"survey": True})
    assert all(found[0][0] == files.main[0] for found in files_of(rdf_lithops.plan(booked[0])))
    assert files.friends[:1] == files_of(rdf_lithops.plan(booked[0]))[0][1]
    assert values(answer(files.main, files.friends)) == [result.GetValue() for result in booked]
    assert ENTRIES == booked[0].GetValue()


def test_a_friend_that_is_replaced_after_it_was_surveyed(
    s3_here: S3,  # noqa: F811
    bucket: Bucket,  # noqa: F811
    fexec: Any,
    tmp_path: Path,
) -> None:
    """Which files a range needs is true of one version of each: another one is surveyed again."""
    main = [bucket.put(f"fr/m{n}.root", write_main_file(tmp_path / f"m{n}", 40 * n, 40)) for n in range(2)]
    friends = [bucket.put(f"fr/f{n}.root", write_friend_file(tmp_path / f"f{n}", 40 * n, 40)) for n in range(2)]
    given = {"executor": fexec, "npartitions": 2}
    assert 80 == answer(main, friends, **given)[0].GetValue()
    bucket.put("fr/f0.root", write_friend_file(tmp_path / "longer", 0, 60))
    bucket.put("fr/f1.root", write_friend_file(tmp_path / "shorter", 60, 20))
    booked = answer(main, friends, **given)[0]
    assert {main[0]} == {found[0][0] for found in files_of(rdf_lithops.plan(booked))}
    assert 80 == booked.GetValue()


def test_what_is_booked_after_a_run_beside_friends(fexec: Any, tmp_path: Path) -> None:
    """A range that opens the dataset's first file because of a friend says which column is of another type there."""
    main, friends = [str(tmp_path / f"m{number}.root") for number in range(2)], str(tmp_path / "f.root")
    for path, of, entries in zip(main, ("Long64_t", "double"), (5, 40), strict=True):
        ROOT.RDataFrame(entries).Define("x", f"({of})rdfentry_").Define("y", "1").Snapshot("t", path, ["x", "y"])
    ROOT.RDataFrame(45).Define("z", "(int)rdfentry_").Snapshot("f", friends, ["z"])
    chain, other = ROOT.TChain("t"), ROOT.TChain("f")
    for path in main:
        chain.Add(path)
    other.Add(friends)
    chain.AddFriend(other, "fr")
    _kept.extend([chain, other])
    late = {"slot": {0: ["kill"]}}  # the others are asked first
    options = {"ranges_per_call": 1, "faults": late, "backoff_s": 0.05}
    frame = ROOT.RDataFrame(chain, executor=fexec, npartitions=4, options=options)
    assert 45 == frame.Sum("y").GetValue()
    with pytest.raises(rdf_lithops.RunError, match=r"column 'x' is .*m\d\.root and .*m\d\.root"):
        frame.Filter("fr.z < 2").Sum("x").GetValue()
