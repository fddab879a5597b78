"""A report's seconds add up to what they are parts of, whatever happened in the run; and it can be read everywhere."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import BEGAN, FACTS, ended, plan, quiet_run, reduced, report_of, status

from rdf_lithops import PlanError
from rdf_lithops.reporting import Bill, Report
from rdf_lithops.reporting.text import quantity
from rdf_lithops.reporting.values import CALL_PARTS, MEANINGS
from rdf_lithops.run.events import AttemptBegan, AttemptEnded, BackupStarted, CallEnded, CallFailed, RunBegan, RunEnded

# -- the seconds add up -----------------------------------------------------------------------------------------------


def does_not_add_up(report: Report) -> list[str]:
    """Where the wall time is not the sum of its parts, or a call's time not that of its own; what is negative, or has no
    name."""
    wrong = [] if report.wall_s == pytest.approx(sum(report.path.values()), abs=1e-6) else [f"{report.wall_s} s in all"]
    for call in report.calls:
        if call.time_s != pytest.approx(sum(call.parts.values()), abs=1e-6):
            wrong.append(f"{call.time_s} s of call {call.call_id}")
    seconds = [("path", MEANINGS, report.path), *((f"call {call.call_id}", CALL_PARTS, call.parts) for call in report.calls)]
    for what, known, parts in seconds:
        wrong += [f"{name} of {what}: {value} s" for name, value in parts.items() if not value >= -1e-9 or name not in known]
    return wrong


def test_the_parts_of_a_quiet_run() -> None:
    """Each second of the wall time is where the clocks have it: driver, slowest call, reducer, driver."""
    report = report_of(quiet_run())
    assert [] == does_not_add_up(report)
    expected = {
        "prepare": 0.2,
        "retries": 0.0,
        "submit": 0.3,
        "queue": 0.3,  # of the last call, from the end of the submission on
        "cold start": 0.1,
        "initialisation": 0.4,
        "graph": 0.05,
        "compilation": 0.6,
        "open": 0.02,
        "read": 0.2,
        "decompression": 0.1,
        "loop": 0.5,
        "merge": 0.03,
        "serialise": 0.05,
        "upload": 0.1,
        "reduce": 0.4,
        "wait": 0.1,
        "deliver": 0.5,
        "other": 0.05,
    }
    assert expected == pytest.approx(report.path, abs=1e-5)
    assert report.path["other"] <= 0.05 * report.wall_s


def test_a_cold_worker() -> None:
    """Where the worker's process is younger than the submission, its start is a cold start; before it was the queue."""
    call = report_of([*quiet_run(1)[:2], ended(0, (1.0, 1.1, 3.1, 3.2), 3.3, process_at=BEGAN + 0.7)]).calls[0]
    assert call.cold
    assert (0.5, 0.4) == (pytest.approx(call.parts["queue"]), pytest.approx(call.parts["cold start"]))
    assert BEGAN + 0.7 == pytest.approx(call.began_at), "the start of its process is billed"


def test_an_invocation_that_was_noted() -> None:
    """Where the entry point notes its begin, the worker had the call from then on, and Lithops' loading is no queue."""
    call = report_of([*quiet_run(1)[:2], ended(0, (1.0, 1.1, 3.1, 3.2), 3.3, invoked_at=BEGAN + 0.7)]).calls[0]
    assert (0.5, 0.4) == (pytest.approx(call.parts["queue"]), pytest.approx(call.parts["cold start"]))
    assert (False, pytest.approx(2.5)) == (call.cold, call.worker_s)


@pytest.mark.parametrize("skew_s", [-3600.0, -0.5, 0.0, 0.5, 3600.0])
def test_clocks_that_differ(skew_s: float) -> None:
    """A worker's clock may be wrong by any time: the call is where the driver's clock can have it, and a note says so."""
    times = tuple(time + skew_s for time in (0.6, 0.7, 2.7, 2.8))
    report = report_of([*quiet_run(1)[:2], ended(0, times, 2.9), *quiet_run(1)[3:]])
    assert [] == does_not_add_up(report)
    assert bool(skew_s) == bool(report.notes)
    assert 2.2 == pytest.approx(report.calls[0].worker_s, abs=1e-5), "how long it took does not depend on the clock"


def test_a_retry() -> None:
    """What an attempt that came to nothing took is a part of its own; calls of both attempts are listed."""
    events = [
        *quiet_run(2)[:3],
        CallFailed(at=BEGAN + 2.0, call_id=1, attempt=1, kind="lost", why="killed", final=False),
        AttemptEnded(at=BEGAN + 2.0, number=1, missing=(1,)),
        AttemptBegan(at=BEGAN + 2.6, number=2, call_ids=(1,), submit_s=0.1),
        ended(1, (2.7, 2.8, 4.8, 4.9), 5.0, attempt=2),
        reduced((5.0, 5.1, 5.2, 5.3), 5.4, attempt=2),
        RunEnded(at=BEGAN + 5.4, attempts=2, wall_s=5.2),
    ]
    report = report_of(events, 5.5)
    assert [] == does_not_add_up(report)
    assert 2.3 == pytest.approx(report.path["retries"])
    assert (2, 1, ["ok", "lost", "ok", "ok"]) == (report.attempts, report.repeated, [call.outcome for call in report.calls])
    assert any("killed" in line for line in report.advice)
    assert any("without saying when they ran" in line for line in report.notes)


@pytest.mark.parametrize("stage", range(6))
def test_a_run_that_ended_early(stage: int) -> None:
    """Cut off after any event (interrupted, refused, failed), what is there adds up and says why it ended."""
    events = [*quiet_run()[:stage], RunEnded(at=BEGAN + 3.0, attempts=1, wall_s=3.0, error="no more")]
    report = report_of(events, 3.1)
    assert [] == does_not_add_up(report)
    assert "no more" == report.error
    assert "error: no more" in str(report)
    assert "no more" in report._repr_html_()


seconds = st.floats(0.0, 100.0)
moments = st.lists(st.floats(-50.0, 50.0), min_size=4, max_size=4)


@given(moments, seconds, st.dictionaries(st.sampled_from(sorted(FACTS)[:9]), seconds), st.booleans())
def test_any_clocks_add_up(times: list[float], seen: float, facts: dict[str, Any], is_sorted: bool) -> None:
    """Whatever Lithops and the stopwatch say, in whatever order: no part is negative, and they add up."""
    call = ended(0, tuple(sorted(times) if is_sorted else times), 0.5 + seen, **facts)
    report = report_of([*quiet_run(1)[:2], call], 0.5 + seen + 1.0)
    assert [] == does_not_add_up(report)


def test_the_reducer_of_one_partial() -> None:
    """It hands the partial on as it is: the call's own seconds are not counted again, and the reducer's are its own."""
    events = quiet_run(1)
    facts = {"calls": [FACTS], "host": "there", "invoked_at": BEGAN + 2.85}
    events[3] = type(events[3])(at=events[3].at, attempt=1, facts=facts, status=status(2.9, 3.0, 3.1, 3.2))  # type: ignore[call-arg]
    reduce = report_of(events).calls[-1]
    assert "reduce" == reduce.stage
    assert 0.0 == reduce.parts["compilation"] == reduce.parts["loop"]
    assert 0.35 == pytest.approx(reduce.worker_s), "billed from its invocation on"


# -- what it says -----------------------------------------------------------------------------------------------------


def advice(events: list[Any], **known: Any) -> str:
    return "\n".join(report_of(events, **known).advice)


def test_advice_on_start_up() -> None:
    """Start-up that outweighs the work: where calls are billed, how many would do, and how long; else what comes next."""
    said = advice(quiet_run(8), bill=Bill(17.6, 9, 0.001))
    assert "calls ran 2.2 s on average, of which 1.2 s start-up (0.6 s compilation)" in said
    better = re.search(r"(\d+) instead of 8 would cost less and run (\d+) s", said)
    assert better is not None
    assert 1 <= int(better[1]) < 8 and int(better[2]) > 2
    assert "the next query on these workers finds ROOT up" in advice(quiet_run(8))


def test_advice_on_one_slow_call() -> None:
    """The slowest call is named, with where it ran and what it did, if it holds up the run."""
    events = [*quiet_run(4)[:5], ended(3, (0.6, 0.7, 9.7, 9.8), 9.9, loop_s=7.5, host="slow-one")]
    said = advice(events, ended_s=10.0)
    assert "call 3 on slow-one took 9.2 s, the median 2.2 s, most of it loop" in said


def test_advice_on_memory() -> None:
    """Close to the limit: more. Far from it, and billed: less."""
    assert "used 500 of 512 MiB: give them more" in advice(quiet_run(), memory_mib=512)
    assert "less of it" in advice(quiet_run(), memory_mib=2048, bill=Bill(1.0, 4, 0.01))
    assert "memory" not in advice(quiet_run(), memory_mib=1000)


def test_advice_on_reading_and_decompression() -> None:
    """Time that went into data is said with its share and rate."""
    reading = [*quiet_run(1)[:2], ended(0, (0.6, 0.7, 5.7, 5.8), 5.9, read_s=3.5, read_bytes=70_000_000)]
    assert "waiting for data (21 MB/s per call)" in advice(reading, ended_s=6.0)
    unpacking = [*quiet_run(1)[:2], ended(0, (0.6, 0.7, 5.7, 5.8), 5.9, decompress_s=3.0)]
    assert "was decompression" in advice(unpacking, ended_s=6.0)


def test_a_good_run_needs_no_advice() -> None:
    """Nothing is said for the sake of saying something."""
    events = [*quiet_run(1)[:2], ended(0, (0.6, 0.7, 20.7, 20.8), 20.9, loop_s=18.0)]
    assert "" == advice(events, ended_s=21.0)


def test_the_text() -> None:
    """The printed report has the run's figures, a line for each part that took time, one for each call, and sums."""
    report = report_of(quiet_run(), place="mars", memory_mib=2048, bill=Bill(13.2, 4, 0.00022, "prices of 2026-05-01"))
    text = str(report)
    assert text.startswith("run quiet on mars, ")
    for expected in ("3 ranges in 3 calls", "3,000 entries", "750 entries/s", "500 of 2048 MiB", "13.20 GB-s, 4 requests"):
        assert expected in text
    assert "USD 0.000220 (prices of 2026-05-01)" in text
    for part, wall_s in report.path.items():
        assert bool(wall_s > 0.001) == bool(re.search(rf"^  {part} +\d", text, re.MULTILINE)), part
    assert re.search(r"^  sum +4\.000 s", text, re.MULTILINE)
    assert ["map 0", "map 1", "map 2", "reduce 0"] == re.findall(r"^((?:map|reduce) \d+) ", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) < 200


def test_the_text_of_many_calls() -> None:
    """Of a thousand calls the slowest are listed, and it is said how many are not."""
    lines = str(report_of(quiet_run(1000), 110.0)).splitlines()
    assert len(lines) < 60
    assert any("989 others" in line for line in lines)
    assert any(line.startswith("map 999 ") for line in lines)


def many_calls(calls: int) -> Report:
    """A run of so many calls of 2 to 4 s, of which each hundredth is killed first, and then takes a second more."""
    calm, again_too = quiet_run(calls)[:2], tuple(range(0, calls, 100))
    lost = {"kind": "lost", "why": "killed", "final": False}
    killed = [CallFailed(at=BEGAN + 1, call_id=i, attempt=1, **lost) for i in again_too]
    mapped = []
    for i in range(calls):
        began, again = 0.6 + i * 1e-4, i % 100 == 0
        done = began + 2.0 + 2.0 * i / calls + again
        mapped.append(ended(i, (began, began + 0.1, done, done + 0.1), done + 0.2, attempt=1 + again))
    second = AttemptBegan(at=BEGAN + 1.1, number=2, call_ids=again_too, submit_s=0.1)
    folded = [reduced((6.1, 6.2, 9.0, 9.1), 9.2, attempt=2), RunEnded(at=BEGAN + 9.3, attempts=2, wall_s=9.1)]
    return report_of([*calm, *killed, second, *mapped, *folded], ended_s=9.4)


def test_the_report_of_ten_thousand_calls() -> None:
    """It says how long calls took by percentiles, and names the slowest, some that failed and some that were repeated."""
    text = str(many_calls(10_000))
    assert len(text.splitlines()) < 70
    (line,) = (line for line in text.splitlines() if line.startswith("  a call "))
    seconds = [float(value) for value in line.split()[2:]]
    assert 6 == len(seconds) and seconds == sorted(seconds)
    assert seconds[2] == pytest.approx(3.4 + 0.3, abs=0.6)
    listed = re.findall(r"^map (\d+)(\.2)? ", text, re.MULTILINE)
    assert ("9900", ".2") in listed, "the slowest"
    assert 3 <= sum(bool(again) for _, again in listed)
    assert 3 == text.count("  lost: killed")


def test_the_html_of_ten_thousand_calls() -> None:
    """A page that a browser opens at once, with a picture of some hundred calls: slow ones, failed ones, the rest evenly."""
    html = many_calls(10_000)._repr_html_()
    assert len(html) < 2_000_000
    assert re.search(r"2\d\d of 10101 calls are drawn", html)
    assert "99 %" in html and "killed" in html
    drawn = {int(number) for number in re.findall(r"<title>call (\d+)", html)}
    assert 150 < len(drawn) < 300
    assert {0, 9900} <= drawn


def test_json_and_back() -> None:
    """What was written is read back as the same value; numbers are numbers, and NaN is none of them."""
    report = report_of(quiet_run(), memory_mib=2048, bill=Bill(13.2, 4, 0.00022, "prices"))
    text = report.to_json()
    assert report == Report.from_json(text)
    values = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    assert (3000, 3000, "quiet") == (values["entries"], values["read_bytes"], values["run_id"])
    assert values["wall_s"] == pytest.approx(sum(values["path"].values()))


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 99}', '{"format": 1, "run_id": "x"}', "nonsense"])
def test_json_that_is_no_report(text: str) -> None:
    """A ValueError that says what was expected."""
    with pytest.raises(ValueError, match=r"expected|does not hold|Expecting"):
        Report.from_json(text)


def test_html_needs_nothing_else(tmp_path: Path) -> None:
    """One file: no script, nothing to load, well-formed, every call drawn, and what users wrote is escaped."""
    events = quiet_run()
    why = 'a <script>alert("x")</script> in a message'
    events.insert(
        4, CallFailed(at=BEGAN + 2.9, call_id=9, attempt=1, kind="range", why=why, final=True, status=status(1, 1, 2, 2))
    )
    report = report_of(events, place="<b>mars</b>")
    report.to_html(str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<script" not in page and "<b>mars" not in page
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\s*(https?:|//|data:)""", page)
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    drawn = xml.etree.ElementTree.fromstring(svg)
    labels = [text.text for text in drawn.iter("text")]
    assert {"the run", "call 0", "call 1", "call 2", "call 9", "reduce 0"} <= set(labels)
    widths = [float(one.get("width", "nan")) for one in drawn.iter("rect")]
    assert all(math.isfinite(width) and width >= 0 for width in widths)


@pytest.mark.parametrize("calls", [0, 1, 30, 400])
def test_pictures_of_few_and_many(calls: int, tmp_path: Path) -> None:
    """The picture and the page are made for any number of calls, and do not grow without end."""
    report = report_of(quiet_run(calls) if calls else [RunBegan(at=BEGAN, plan=plan(0), run_id="none")], 4.0 + 0.1 * calls)
    report.plot(str(tmp_path / "run.png"))
    picture = (tmp_path / "run.png").read_bytes()
    assert b"\x89PNG" == picture[:4]
    width, height = (int.from_bytes(picture[i : i + 4], "big") for i in (16, 20))
    assert width < 2000 and height < 2000
    report.to_html(str(tmp_path / "run.html"))


def test_plot_leaves_matplotlib_alone(tmp_path: Path) -> None:
    """No pyplot: the back end that the user has chosen, and figures that are open, are not touched."""
    before = "matplotlib.pyplot" in sys.modules
    report_of(quiet_run()).plot(str(tmp_path / "run.svg"))
    assert before == ("matplotlib.pyplot" in sys.modules)
    assert "<svg" in (tmp_path / "run.svg").read_text()
    with pytest.raises(PlanError, match=r"run\.txt"):
        report_of(quiet_run()).plot(str(tmp_path / "run.txt"))


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is an extra: the error says how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlanError, match=r"pip install 'rdf_lithops\[plot\]'"):
        report_of(quiet_run()).plot(str(tmp_path / "run.png"))


def test_quantity() -> None:
    """Three digits and a prefix; what rounds up to the next prefix is said with it."""
    values = (0.0, 999.4, 999.6, 1234.0, 12_345.0, 999_999.0, 4.2e6, 7.77e9)
    assert ["0", "999", "1.00k", "1.23k", "12.3k", "1.00M", "4.20M", "7.77G"] == [quantity(value) for value in values]


def test_events_are_counted_once() -> None:
    """Entries and bytes are those of the partials that counted."""
    report = report_of(
        [
            *quiet_run(3),
        ]
    )
    assert all(isinstance(event, CallEnded) for event in quiet_run(3)[2:5])
    assert (3000, 3000) == (report.entries, report.read_bytes)
    assert report_of([*quiet_run(1)[:2], ended(0, (0.6, 0.7, 2.7, 2.8), 2.9, entries=None)]).entries is None


def test_calls_that_share_a_process() -> None:
    """The second call of a worker process waited for the first one, not for the process to start."""
    process, again = ({"process": 7, "process_at": BEGAN + at} for at in (0.55, 0.56))  # as exact as /proc has it
    events = [
        *quiet_run(2)[:2],
        ended(0, (0.6, 0.7, 2.7, 2.8), 5.0, **process),
        ended(1, (2.8, 2.9, 4.9, 5.0), 5.0, **again),
    ]
    first, second = report_of(events, 5.0).calls
    assert (True, False) == (first.cold, second.cold)
    assert (0.15, 0.1) == pytest.approx((first.parts["cold start"], second.parts["cold start"]), abs=1e-5)
    assert 2.6 == pytest.approx(second.parts["queue"])


def test_the_path_of_a_run_with_a_backup_that_came_too_late() -> None:
    """The call that was copied delivers first, and the reducer of either attempt: no second goes without a name."""
    events = quiet_run()
    *before, reduce, over = events
    late = [BackupStarted(at=BEGAN + 2.85, call_ids=(2,), attempt=2)]
    late.append(AttemptBegan(at=BEGAN + 2.9, number=2, call_ids=(2,), submit_s=0.05))
    for attempt in (1, 2):
        told = dataclasses.replace(reduce, attempt=attempt)
        report = report_of([*before, *late, told, over], 4.0)
        assert report_of(events, 4.0).path == pytest.approx(report.path)
        assert 1 == report.backups
