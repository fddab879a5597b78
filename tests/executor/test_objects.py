"""Lithops' storage on S3 as the driver reads, lists and deletes it: as Lithops does, and faster."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from servers.s3 import S3

from rdf_lithops.executor.clearing import BATCH, Clearing
from rdf_lithops.executor.listings import STRETCH, StretchListing, stretches
from rdf_lithops.executor.objects import Objects, S3Objects, objects_of

FOLDER = "lithops.jobs/a-M1"


@pytest.fixture
def storage(s3: S3) -> Iterator[Any]:
    """What the driver sees of Lithops' storage in a bucket of a real server, with a client of boto3 as Lithops makes it."""
    with s3.bucket() as bucket:
        client = s3.client()
        yield SimpleNamespace(bucket=bucket, storage_handler=SimpleNamespace(s3_client=client))
        client.close()


def put(storage: Any, call: int, name: str, body: bytes = b"") -> None:
    """What a worker writes."""
    storage.storage_handler.s3_client.put_object(Bucket=storage.bucket, Key=f"{FOLDER}/{call:05d}/{name}", Body=body)


def test_an_object_is_read_and_a_missing_one_said_to_be(storage: Any) -> None:
    """Whole, with the keys of Lithops' own client; one that is not there is FileNotFoundError."""
    put(storage, 0, "status.json", b"whole")
    objects = objects_of(storage)
    assert isinstance(objects, S3Objects)
    assert b"whole" == objects.get(f"{FOLDER}/00000/status.json")
    with pytest.raises(FileNotFoundError):
        objects.get(f"{FOLDER}/00001/status.json")


def test_what_was_read_is_cleared_meanwhile(storage: Any) -> None:
    """Hundreds at a time and while the run goes on, those alone; what is not there any more is no error."""
    objects = objects_of(storage)
    assert isinstance(objects, S3Objects)
    names = [f"{FOLDER}/{call:05d}/status.json" for call in range(BATCH)]
    for call in (0, 1, BATCH - 1, BATCH):
        put(storage, call, "status.json")
    clearing = Clearing(objects)
    clearing.add(names[:-1])
    clearing.add([])
    assert b"" == objects.get(names[0]), "few are left for the end"
    clearing.add(names[-1:])
    clearing.close()
    assert {f"{FOLDER}/{BATCH:05d}/status.json"} == set(objects.between(FOLDER, "00000", "99999"))


def test_a_storage_that_refuses_does_not_end_the_run(storage: Any) -> None:
    """Each batch is tried, and the refusal goes no further: what could not be deleted goes when the run is over."""
    tried: list[int] = []

    def refuse(names: list[str]) -> None:
        tried.append(len(names))
        raise PermissionError(names[0])

    put(storage, 0, "status.json")
    objects = objects_of(storage)
    objects.delete = refuse  # type: ignore[method-assign]
    clearing = Clearing(objects)
    clearing.add([f"{FOLDER}/00000/status.json"] * (2 * BATCH + 1))
    clearing.close()
    assert [BATCH, BATCH] == tried
    assert b"" == objects.get(f"{FOLDER}/00000/status.json")


def test_a_look_at_s3(storage: Any) -> None:
    """Which have begun, beaten and ended, of the calls that are asked after and of no other job; another beat shows."""
    objects = objects_of(storage)
    assert isinstance(objects, S3Objects)
    for call in (0, 1, 300, 301):
        put(storage, call, "abc.init")
    put(storage, 0, "status.json")
    put(storage, 300, "beat.json", b"1")
    storage.storage_handler.s3_client.put_object(Bucket=storage.bucket, Key="lithops.jobs/a-M10/00001/status.json", Body=b"")
    calls = [f"{call:05d}" for call in range(302)]
    listing = StretchListing(FOLDER, calls, objects.between, map)
    seen = listing.look(calls)
    assert ({"00000", "00001", "00300", "00301"}, {"00000"}) == (seen.begun, seen.ended)
    put(storage, 300, "beat.json", b"2")
    again = listing.look(["00001", "00300"])
    assert {"00300"} == set(seen.beaten) == set(again.beaten)
    assert seen.beaten != again.beaten
    assert {"00001", "00300"} == again.begun
    assert {"00000", "00301"} == listing.look(["00000", "00301"]).begun, "as many, but others"


def test_glances_at_s3_take_turns(storage: Any) -> None:
    """While nothing has ended, a glance is one list, and as many of them as there are stretches miss no call; what another
    look had found of the others stays known."""
    objects = objects_of(storage)
    assert isinstance(objects, S3Objects)
    there = (0, STRETCH, 2 * STRETCH)
    for call in there:
        put(storage, call, "abc.init")
    calls = [f"{call:05d}" for call in range(3 * STRETCH)]
    asked: list[tuple[str, ...]] = []

    def between(*given: str) -> dict[str, object]:
        asked.append(given)
        return objects.between(*given)

    listing = StretchListing(FOLDER, calls, between, map)
    seen = listing.look(calls)
    assert 3 == len(asked)
    for call in there:
        put(storage, call, "status.json")
    found: list[str] = []
    for number in range(3):
        seen = seen.and_then(listing.glance(calls))
        assert 4 + number == len(asked)
        assert {f"{call:05d}" for call in there} == seen.begun
        found += seen.ended
    assert [f"{call:05d}" for call in there] == sorted(found)
    assert set() == listing.glance([]).begun


@pytest.mark.parametrize(
    ("left", "lists"), [((7, 150, 230), 3), ((7, 8, 9, 10), 1), ((7,), 1), (tuple(range(0, STRETCH, 8)), 1)]
)
def test_a_few_calls_far_from_each_other(storage: Any, left: tuple[int, ...], lists: int) -> None:
    """The last calls of many are listed each by itself, without the names of all that have ended between them; those beside
    each other, and many, in one list."""
    objects = objects_of(storage)
    assert isinstance(objects, S3Objects)
    for call in range(STRETCH):
        put(storage, call, "abc.init")
        put(storage, call, "status.json" if call not in left or call == left[0] else "beat.json")
    heard: list[int] = []

    def between(*given: str) -> dict[str, object]:
        found = objects.between(*given)
        heard.append(len(found))
        return found

    names = [f"{call:05d}" for call in left]
    seen = StretchListing(FOLDER, [f"{call:05d}" for call in range(STRETCH)], between, map).look(names)
    assert lists == len(heard)
    assert lists == 1 or 2 * len(left) == sum(heard)
    assert {names[0]} == seen.ended & {*names}
    assert {*names} <= seen.begun
    assert {*names[1:]} == seen.beaten.keys() & {*names}


def test_a_folder_is_deleted_and_its_neighbour_is_not(storage: Any) -> None:
    """More objects than one answer names; another folder whose name begins so stays."""
    objects, client = objects_of(storage), storage.storage_handler.s3_client
    for number in range(60):
        put(storage, number, "status.json")
    client.put_object(Bucket=storage.bucket, Key=f"{FOLDER}0/00000/status.json", Body=b"")
    objects.delete_below(FOLDER)
    left = [each["Key"] for each in client.list_objects_v2(Bucket=storage.bucket)["Contents"]]
    assert [f"{FOLDER}0/00000/status.json"] == left


def test_other_storages_are_asked_as_lithops_does() -> None:
    """A storage that is no client of boto3 goes through Lithops."""
    assert type(objects_of(SimpleNamespace(storage_handler=SimpleNamespace()))) is Objects


def test_stretches_are_few_and_short() -> None:
    """Calls that lie together are one list; none has more calls than one answer has room for."""
    calls = [f"{call:05d}" for call in (*range(500), 2000, 100_000)]
    found = stretches(calls)
    assert [("00000", f"{STRETCH - 1:05d}"), (f"{STRETCH:05d}", f"{2 * STRETCH - 1:05d}")] == found[:2]
    assert [("00480", "00499"), ("02000", "02000"), ("100000", "100000")] == sorted(found[2:])
