"""What Lithops says of a call that has ended is read, or damaged: no silent storage, and no error of Python's own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import threading
import zlib
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from hypothesis import given
from hypothesis import strategies as st

from rdf_lithops.executor.statuses import read_status
from rdf_lithops.options import Options
from rdf_lithops.run.books import CallEnd
from rdf_lithops.run.events import CallFailed, Event

ENDED = {"type": "__end__", "worker_start_tstamp": 1.0}
LOGS = base64.b64encode(zlib.compress(b"what it printed")).decode()
CAUSE = str(pickle.dumps((MemoryError, MemoryError("too much"), None)))
KILLED = {**ENDED, "exception": True, "exc_info": CAUSE, "logs": LOGS}
CONFIG = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 2, "worker_processes": 2}}


def nothing() -> bytes | None:
    """No output, which is not asked for."""
    raise AssertionError("the status has it all")


def read(status: object) -> CallEnd:
    """How a call ended by this status."""
    end = read_status(status, nothing)
    assert end is not None
    return end


@pytest.mark.parametrize("logs", ["!!!", "QUJD", LOGS[:-8], LOGS[:7], 5, None, "é"])
def test_a_damaged_log(logs: Any) -> None:
    """The call ended as it did; the log says why it is not there."""
    end = read({**KILLED, "logs": logs})
    assert ("killed", "MemoryError: too much") == (end.kind, end.why)
    assert "its log cannot be read" in end.log_tail
    assert "what it printed" == read(KILLED).log_tail


@pytest.mark.parametrize("result", ["", "b'", "x", "[" * 500, "{}", 5, None, "b'no pickle'"])
def test_a_damaged_result(result: Any) -> None:
    """A return value that cannot be read is a damaged end, which runs again."""
    assert "damaged" == read({**ENDED, "result": result}).kind or result is None


@given(st.binary(max_size=300) | st.text("'\"\\\\\n\r\0b", max_size=30).map(str.encode))
def test_any_bytes(value: bytes) -> None:
    """What Lithops has written down of bytes, quotes and line ends among them, are these bytes again."""
    assert value == read({**ENDED, "result": str(pickle.dumps(value))}).data


@pytest.mark.parametrize("status", [None, [], "x", 5, {}, {"type": None}, {"exception": True}])
def test_a_status_that_is_none(status: Any) -> None:
    """An object that is there and no status is a damaged end."""
    assert "damaged" == read(status).kind


def test_a_call_that_has_begun() -> None:
    """A call that has begun has not ended."""
    assert read_status({"type": "__init__"}, nothing) is None


VALUES = st.sampled_from([None, True, 0, -1, 1.5, "", "x", "b''", "__end__", "__init__", LOGS, "[", [], ["x"], {}, {"x": 1}])
FIELDS = st.sampled_from(["type", "exception", "exc_info", "logs", "result", "worker_start_tstamp", "activation_id"])


@given(st.dictionaries(FIELDS, VALUES), st.sampled_from([KILLED, {**ENDED, "result": str(pickle.dumps(b"data"))}]))
def test_any_fields(changed: dict[str, Any], whole: dict[str, Any]) -> None:
    """Whatever is in a status, and whatever is not, it is read without an error: as data, or as why there are none."""
    lacking = [{key: value for key, value in whole.items() if key != name} for name in whole]
    for status in ({**whole, **changed}, changed, *lacking):
        end = read_status(status, lambda: None)
        assert end is None or (end.data is None) == bool(end.why)


@pytest.mark.parametrize(
    "damage",
    [b"{", *(pytest.param(kind, marks=pytest.mark.slow) for kind in (b"[]", b'{"type": "__end__", "result": "b"}'))],
)
def test_a_damaged_status_runs_again(damage: bytes, tmp_path: Path) -> None:
    """A status object that is damaged in the storage, also for good, costs its call another attempt, and nothing else."""
    heard: list[Event] = []
    over = threading.Event()
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as executor:
        jobs = Path(lithops.constants.LITHOPS_TEMP_DIR) / executor.storage.bucket / lithops.constants.JOBS_PREFIX
        options = Options(ranges_per_call=1, beat_s=0.2, backoff_s=0.01)
        frame = ROOT.RDataFrame(4, executor=executor, npartitions=2, options=options)
        frame._headnode.backend.consumers = (heard.append,)
        damaged: list[Path] = []

        def do_damage() -> None:
            while not over.wait(0.0005) and not damaged:
                for path in jobs.glob(f"{executor.executor_id}-M*/00001/status.json"):
                    with contextlib.suppress(OSError, ValueError):
                        if json.loads(path.read_text()).get("type") == "__end__":
                            path.with_suffix(".new").write_bytes(damage)
                            os.replace(path.with_suffix(".new"), path)
                            damaged.append(path)

        thread = threading.Thread(target=do_damage)
        thread.start()
        try:
            assert 4 == frame.Count().GetValue()
        finally:
            over.set()
            thread.join(10)
    assert {"damaged", "lost"} >= {event.kind for event in heard if isinstance(event, CallFailed)}
