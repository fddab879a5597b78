"""How often a storage that is far is asked what has become of calls."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from rdf_lithops.executor.looks import LONGEST_S, SHORTEST_S, Looks, pause_s, rest_s
from rdf_lithops.executor.objects import S3Objects
from rdf_lithops.executor.reads import Reads
from rdf_lithops.executor.submission import _expected_s


def looks(took_s: float, expected_s: float) -> list[float]:
    """When a call that took so long is looked at, the last time when it has ended."""
    found = [0.0]
    while found[-1] < took_s:
        found.append(found[-1] + pause_s(found[-1], expected_s, found[-1]))
    return found


@pytest.mark.parametrize("expected_s", [0.0, 0.3, 5.0, 60.0])
@pytest.mark.parametrize("share", [0.1, 0.8, 1.0, 1.3, 4.0])
def test_an_end_is_seen_soon_and_few_looks_are_paid_for(expected_s: float, share: float) -> None:
    """An end is seen within half a second, an expected one within a tenth of its time, and few looks are paid for."""
    took_s = (expected_s or 2.0) * share
    found = looks(took_s, expected_s)
    pauses = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert all(SHORTEST_S - 1e-9 <= pause <= LONGEST_S + 1e-9 for pause in pauses)
    late_s = found[-1] - took_s
    assert late_s <= LONGEST_S + 1e-9
    if expected_s and 0.8 <= share <= 1.3:
        assert late_s <= max(SHORTEST_S, 0.1 * expected_s) + 1e-9
    assert len(found) <= took_s / LONGEST_S + 24


def test_what_has_just_changed_is_looked_at_again_soon() -> None:
    """After the last call of the map its reducer is to come, which takes tenths of a second."""
    assert SHORTEST_S == pause_s(100.0, 50.0, 0.0)


def test_a_guess_is_no_expectation() -> None:
    """What a graph that has never run takes is a guess: its end is looked for as if nothing was expected."""
    for is_measured, expected_s in ((False, 0.0), (True, 7.0)):
        speeds = SimpleNamespace(is_measured=is_measured)
        plan: Any = SimpleNamespace(
            outlook=SimpleNamespace(speeds=speeds, calls_s=(5.0, 7.0)), iterdata=[{"call": {"ranges": []}}]
        )
        assert expected_s == _expected_s(plan)


@pytest.mark.parametrize("elapsed_s", [0.2, 1.0, 3.0])
def test_a_short_run_is_looked_at_soon(elapsed_s: float) -> None:
    """However long the first looks take, which have code to load: the next comes within a tenth of what has passed."""
    assert rest_s(0.1, elapsed_s, False) <= max(SHORTEST_S, elapsed_s / 10) + 1e-9


@pytest.mark.parametrize("cost_s", [0.001, 0.02, 0.2])
def test_looks_that_take_long_are_rare(cost_s: float) -> None:
    """Looks take a seventh of the driver's time at most once calls end, and less before, but a run's begin is seen soon."""
    assert cost_s / rest_s(cost_s, 100.0, True) <= 1 / 6.6
    assert rest_s(cost_s, 100.0, True) < rest_s(cost_s, 100.0, False) <= 10.0
    assert rest_s(cost_s, 0.0, False) <= LONGEST_S


STORAGE = SimpleNamespace(bucket="bucket", backend="aws_s3")


def session_of(objects: S3Objects) -> Any:
    """What looks ask of a session whose storage has these objects."""
    return SimpleNamespace(executor=SimpleNamespace(storage=STORAGE), jobs=SimpleNamespace(objects=objects), local=False)


def test_statuses_on_s3_are_read_side_by_side() -> None:
    """A thousand calls that end in a second, each status 30 ms away: dozens are asked for at a time."""
    together = threading.Barrier(48, timeout=20.0)

    class Far(S3Objects):
        def get(self, key: str) -> bytes:
            together.wait()
            return json.dumps({"type": "__init__"}).encode()

    looks = Looks(session_of(Far(STORAGE, None)))
    futures = [SimpleNamespace(executor_id="a", job_id="M1", call_id=f"{call:05d}") for call in range(96)]
    assert [None] * 96 == looks.ends(futures)
    looks.close()
    assert not together.broken


def test_what_is_slow_to_read_holds_up_nothing() -> None:
    """A status that takes long is waited for a little, and told when it has come; nobody asks for it twice meanwhile."""
    slow, asked = threading.Event(), Counter[str]()

    class Far(S3Objects):
        def get(self, key: str) -> bytes:
            asked[key] += 1
            if "00009" in key and not slow.wait(20.0):
                raise TimeoutError(key)
            if "00005" in key:
                raise FileNotFoundError(key)
            return json.dumps({"type": "__end__", "exception": True, "exc_info": "None"}).encode()

    looks = Looks(session_of(Far(STORAGE, None)))
    reads = Reads(looks)
    futures = {f"{call:05d}": SimpleNamespace(executor_id="a", job_id="M1", call_id=f"{call:05d}") for call in range(10)}
    reads.begin(futures)
    reads.begin(futures)
    first = reads.arrived()
    while len(first) < 8:
        first |= reads.arrived()
    assert futures.keys() - {"00005", "00009"} == first.keys()
    assert {"00009"} == set(reads.under_way)
    slow.set()
    last: dict[str, Any] = {}
    while not last:
        last = reads.arrived()
    assert {"00009"} == last.keys()
    assert {1} == set(asked.values())
    looks.close()
