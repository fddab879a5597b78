"""What the driver does for a run grows with the number of its calls, and not with their square."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import inline
import lithops
import pytest
import ROOT
from copies import Life, told
from kinds import quickly
from lithops.constants import JOBS_PREFIX

from rdf_lithops.options import Options

FEW, MANY = 20, 100
OBJECTS_READ = 3  # a call's status and output, and perhaps a beat
_counted: list[Counter[str]] = []  # a hook of this kind stays for the life of the process


def _count(event: str, arguments: Any) -> None:
    if _counted and event in ("open", "os.scandir", "os.listdir") and f"/{JOBS_PREFIX}/" in str(arguments[0]):
        _counted[-1][event] += 1


sys.addaudithook(_count)


@contextmanager
def asked() -> Iterator[Counter[str]]:
    """How often this process opens files, and reads folders, of Lithops' jobs."""
    counted: Counter[str] = Counter()
    _counted.append(counted)
    try:
        yield counted
    finally:
        _counted.remove(counted)


def count(executor: Any, calls: int) -> int:
    """A run of so many calls of one entry each."""
    options = Options(ranges_per_call=1, progress=False)
    return int(ROOT.RDataFrame(calls, executor=executor, npartitions=calls, options=options).Count().GetValue())


def test_each_status_is_read_once(fexec: lithops.FunctionExecutor) -> None:
    """On this machine the driver opens what a call has written once, and does not read the folder of all calls for it."""
    count(fexec, 2)
    with asked() as few:
        assert FEW == count(fexec, FEW)
    with asked() as many:
        assert MANY == count(fexec, MANY)
    assert many["open"] <= OBJECTS_READ * MANY + 20, (few, many)
    deletion = 2 * MANY + 20  # the folder of each call, when the run is over
    assert many["os.scandir"] + many["os.listdir"] <= deletion + MANY / 4, (few, many)


def requests_of(executor: Any, monkeypatch: pytest.MonkeyPatch, resume: bool | None) -> Counter[str]:
    """What the driver writes and lists for a run of two calls."""
    counted: Counter[str] = Counter()
    handler = executor.storage.storage_handler

    def counting(name: str) -> Callable[..., Any]:
        ask = getattr(handler, name)

        def ask_and_count(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return ask(*given, **named)

        return ask_and_count

    with monkeypatch.context() as patch:
        for name in ("put_object", "list_keys", "list_objects"):
            patch.setattr(handler, name, counting(name))
        options = Options(ranges_per_call=1, progress=False, resume=resume)
        assert 2 == ROOT.RDataFrame(2, executor=executor, npartitions=2, options=options).Count().GetValue()
    return counted


def test_that_it_may_be_taken_up_costs_no_request(fexec: lithops.FunctionExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that another driver could take up lists nothing, after the first one of its executor, and writes as many objects
    as a run that nobody could."""
    count(fexec, 2)
    found = requests_of(fexec, monkeypatch, None)
    assert {"put_object"} == set(found)
    assert requests_of(fexec, monkeypatch, False) == found


@pytest.mark.parametrize("version", quickly([1, 2], 1))
def test_both_versions(version: int) -> None:
    """Both versions of Lithops' back end run more calls than there are processes, each once."""
    config = {
        "lithops": {"backend": "localhost", "storage": "localhost", "data_cleaner": False},
        "localhost": {"version": version, "worker_processes": 2},
    }
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
        assert 7 == count(executor, 7)


def steps(run: Callable[[], Any], folder: str) -> int:
    """Calls of functions, written in Python in files of ``folder``, that ``run`` makes."""
    found = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal found
        found += event == "call" and folder in frame.f_code.co_filename

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def test_a_run_that_waits_does_not_go_through_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """While two calls run at a time, what is done for each of hundreds is what is done for each of tens."""

    def one_after_another(calls: int) -> None:
        script = {(i, 1): Life(begins_s=i / 4, ends_s=(i + 1) / 4) for i in range(calls)}
        outcome, run = told(monkeypatch, inline.text_plan(calls, beat_s=1.0), script, Options(backups=True))
        assert not isinstance(outcome, Exception), outcome
        assert [list(range(calls))] == run.attempts

    folder = os.path.join("rdf_lithops", "run", "")
    few, many = (steps(lambda: one_after_another(calls), folder) for calls in (FEW, MANY))  # noqa: B023
    assert many / MANY <= 1.5 * few / FEW


@pytest.mark.slow
def test_the_reducer_is_given_what_the_driver_has(fexec: lithops.FunctionExecutor) -> None:
    """Of hundreds of calls, the reducer does not fetch what the driver has read already: that would take it longer than it
    may be silent for."""
    options = Options(ranges_per_call=1, progress=False, beat_s=0.05, silence_s=0.3, attempts=1)
    assert 400 == ROOT.RDataFrame(400, executor=fexec, npartitions=400, options=options).Count().GetValue()
