"""One look at a storage tells which calls have begun, beaten and ended, and asks for no more than it must."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rdf_lithops.executor.listings import FolderListing, StoreListing, beginnings

MANY = 10_000


def name(call: int) -> str:
    """Lithops' name of a call."""
    return f"{call:05d}"


class Store:
    """A store of objects, each with its version, that counts the lists and the names that it gives."""

    def __init__(self) -> None:
        self.objects: dict[str, object] = {}
        self.lists = self.names = 0

    def put(self, call: int, what: str, version: object = 1) -> None:
        self.objects[f"jobs/a-M1/{name(call)}/{what}"] = version

    def listed(self, beginning: str) -> dict[str, object]:
        found = {key: version for key, version in self.objects.items() if key.startswith(beginning)}
        self.lists, self.names = self.lists + 1, self.names + len(found)
        return found


@given(st.sets(st.integers(0, 2500)), st.integers(2500, 3000))
def test_lists_have_each_call_once(calls: set[int], last: int) -> None:
    """Whatever calls have not ended, the lists have each of them, and none twice."""
    found = beginnings(calls, last)
    for call in calls:
        assert 1 == sum(name(call).startswith(beginning) for beginning in found)


def test_numbers_of_six_digits() -> None:
    """More calls than Lithops' names have room for are in one list."""
    assert [""] == beginnings({3, 123_456}, 123_456)


def test_a_look_at_a_store() -> None:
    """A call begins, beats, and ends; an object of another name is none of these."""
    store = Store()
    listing = StoreListing("jobs/a-M1", [name(call) for call in range(3)], store.listed)
    store.put(0, "abc.init")
    store.put(0, "output.pickle")
    store.put(1, "abd.init")
    store.put(1, "beat.json", "v2")
    store.put(2, "abe.init")
    store.put(2, "status.json")
    seen = listing.look([name(call) for call in range(3)])
    assert ({"00000", "00001", "00002"}, {"00002"}, {"00001": "v2"}) == (seen.begun, seen.ended, seen.beaten)
    assert 1 == store.lists


def test_the_last_calls_of_many_cost_little() -> None:
    """The more calls have ended, the less is asked for: of ten thousand, the last one is one list of its own objects."""
    store, dice, taken = Store(), random.Random(1), []
    for call in range(MANY):
        store.put(call, "abc.init")
    calls = list(range(MANY))
    listing = StoreListing("jobs/a-M1", [name(call) for call in calls], store.listed)
    dice.shuffle(calls)
    for left in (MANY, 1000, 100, 10, 1):
        store.lists = store.names = 0
        seen = listing.look([name(call) for call in calls[:left]])
        assert seen.begun >= {name(call) for call in calls[:left]}
        taken.append(store.lists + store.names / 100)
    assert taken == sorted(taken, reverse=True)
    assert 1 == store.lists == store.names


def make(folder: Path, call: int, *files: str) -> None:
    """What Lithops makes of a call."""
    (folder / name(call)).mkdir(exist_ok=True)
    for file in files:
        (folder / name(call) / file).write_text("{}")


def test_a_look_at_a_folder(tmp_path: Path) -> None:
    """The same of a folder of this machine, in which calls begin in order."""
    calls = {name(call) for call in range(20)}
    listing = FolderListing(str(tmp_path), sorted(calls), 2)
    assert set() == listing.look(calls).begun
    make(tmp_path, 0, "status.json")
    make(tmp_path, 1)
    make(tmp_path, 3, "beat.json")
    seen = listing.look(calls)
    assert ({"00000", "00001", "00003"}, {"00000"}, {"00003": None}) == (seen.begun, seen.ended, seen.beaten)
    calls -= seen.ended
    make(tmp_path, 2, "status.json")
    seen = listing.look(calls)
    assert ({"00001", "00002", "00003"}, {"00002"}) == (seen.begun, seen.ended)


def test_calls_out_of_order_are_found(tmp_path: Path) -> None:
    """Calls that begin out of their turn are seen when nothing else runs, and at the latest when the job is over."""
    calls = {name(call) for call in range(50)}
    listing = FolderListing(str(tmp_path), sorted(calls), 2)
    make(tmp_path, 30, "status.json")
    assert {"00030"} == listing.look(calls).ended
    calls.remove("00030")
    make(tmp_path, 0)
    make(tmp_path, 40, "status.json")
    assert {"00000"} == listing.look(calls).begun
    assert {"00040"} == listing.look(calls, is_over=True).ended


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """Before the first call begins there is nothing, and no error."""
    assert set() == FolderListing(str(tmp_path / "none"), ["00000"], 1).look({"00000"}, is_over=True).begun
