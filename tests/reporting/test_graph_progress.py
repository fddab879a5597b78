"""RunGraphs shows one bar, and below it a line for each graph: the right graph's entries, few lines, none left behind."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import pytest
from scripted import BEGAN, plan
from tqdm import tqdm

from rdf_lithops.planning import packing
from rdf_lithops.planning.cost import Offer
from rdf_lithops.planning.plans import Plan
from rdf_lithops.reporting.graph_progress import MOST_LINES, Graphs
from rdf_lithops.reporting.progress import Bar, Tally
from rdf_lithops.run.events import AttemptBegan, CallBegan, CallEnded, CallFailed, CallProgressed, Event, RunBegan, RunEnded

WIDTH = 110


def of_graphs(counts: list[int], entries: int | None = 1000, each_alone: bool = True) -> Plan:
    """Graphs with so many calls of one range each, of a file of their own."""
    alone = [_named(plan(count, entries), f"/data/sample_{graph}.root") for graph, count in enumerate(counts)]
    return packing.together(alone, Offer("localhost", workers=2), None, each_alone, lambda units: None)


def _named(one: Plan, path: str) -> Plan:
    items = [
        {"call": {**item["call"], "ranges": [{**r, "files": [path]} for r in item["call"]["ranges"]]}}
        for item in one.iterdata
    ]
    return dataclasses.replace(one, iterdata=items)


def begin(plan: Plan) -> list[Event]:
    """A run that was submitted just now."""
    calls = tuple(item["call"]["id"] for item in plan.iterdata)
    return [RunBegan(at=BEGAN, plan=plan, run_id="x"), AttemptBegan(at=BEGAN, number=1, call_ids=calls, submit_s=0.0)]


def beat(call_id: int, entries: int, at: float = 2.0) -> CallProgressed:
    return CallProgressed(at=BEGAN + at, call_id=call_id, attempt=1, entries=entries, cpu_s=0.0)


def end(plan: Plan, call_id: int, at: float = 3.0) -> CallEnded:
    ranges = plan.iterdata[call_id]["call"]["ranges"]
    ids = tuple(plain["id"] for plain in ranges)
    return CallEnded(call_id, 1, ids, 1000 * len(ids), {}, {}, b"", at=BEGAN + at)


def counted(plan: Plan, *events: Event) -> Graphs:
    graphs = Graphs(plan)
    for event in events:
        graphs.count(event)
    return graphs


def test_entries_are_those_of_their_graph() -> None:
    """A call runs ranges of one graph behind those of another: its beat counts for the first, then for the second."""
    together = of_graphs([1, 1], each_alone=False)
    call = {"id": 0, "ranges": [plain for item in together.iterdata for plain in item["call"]["ranges"]]}
    one = dataclasses.replace(together, iterdata=[{"call": call}])
    assert [(0.4, 0.0), (1.0, 0.25), (1.0, 1.0)] == [
        tuple(standing.share for standing in counted(one, beat(0, entries)).standings) for entries in (400, 1250, 2000)
    ]
    graphs = counted(one, beat(0, 1250), end(one, 0))
    assert ["done", "done"] == [standing.state for standing in graphs.standings]
    assert (1.0, 1.0) == tuple(
        standing.share for standing in counted(one, beat(0, 1250), end(one, 0), beat(0, 1500)).standings
    )
    failed = counted(one, beat(0, 1250), CallFailed(0, 1, "killed", "", False))
    assert [0.0, 0.0] == [standing.share for standing in failed.standings]


def test_without_entries_ranges_are_the_measure() -> None:
    """Where nobody knows how many entries there are, the ranges that are done tell."""
    plan = of_graphs([2, 1], None)
    graphs = counted(plan, CallBegan(0, 1), end(plan, 0))
    assert ["1/2 ranges", "waiting"] == [standing.counts() for standing in graphs.standings]
    assert 0.5 == graphs.standings[0].share


class Screen(io.StringIO):
    """What a terminal shows of what is written to it, as far as tqdm goes: returns, line feeds, lines up."""

    def lines(self) -> list[str]:
        rows, row = [""], 0
        for mark, text in re.findall(r"(\r|\n|\x1b\[A)|([^\r\n\x1b]+)", self.getvalue()):
            if mark == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif mark == "\x1b[A":
                row -= 1
            elif text:
                rows[row] = text + rows[row][len(text) :]
        return [line.rstrip() for line in rows]


def shown(plan: Plan, *events: Event) -> list[str]:
    """The screen after these events of a run. Nothing stays there when it has ended."""
    screen = Screen()

    def make(**given: Any) -> Any:
        return tqdm(file=screen, mininterval=0, ascii=True, **{**given, "dynamic_ncols": False, "ncols": WIDTH})

    bar = Bar(make)
    for event in (*begin(plan), *events):
        bar(event)
    lines = screen.lines()
    bar(RunEnded(1, 9.0, at=BEGAN + 9.0))
    assert [] == [line for line in screen.lines() if line]
    return [line for line in lines if line]


def test_one_bar_and_a_line_each() -> None:
    """Two graphs: the run's bar counts both, and each has its line, with the file that tells it from the other."""
    plan = of_graphs([2, 1])
    events = [CallBegan(0, 1, at=BEGAN + 1.5), beat(0, 500), end(plan, 0), beat(1, 250, 3.2)]
    lines = shown(plan, *events)
    assert re.match(r" 42%\|#+\d? +\| 1.25k/3.00k entries, .* calls: 1 running, 1/3 done, 0 failed", lines[0])
    assert "  graph 0 sample_0.root  62%|############5       | 1.25k/2.00k entries" == lines[1]
    assert "  graph 1 sample_1.root   0%|                    | waiting" == lines[2]


def test_many_graphs_have_few_lines() -> None:
    """Of 65 graphs those are shown that run, and the next ones; the others are counted, and no line is too long."""
    plan = of_graphs([1] * 65)
    events = [*(end(plan, call) for call in range(10)), *(beat(call, 300, 4.0) for call in range(10, 14))]
    lines = shown(plan, *events)
    assert 2 + MOST_LINES == len(lines)
    assert ["10", "11", "12", "13", "14", "15", "16", "17"] == [line.split()[1] for line in lines[1:-1]]
    assert "  and 57 more graphs: 10 done, 47 waiting" == lines[-1]
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize("done", [0, 65])
def test_a_log_counts_graphs(done: int) -> None:
    """Where there is no terminal a line says how many graphs are done."""
    plan, tally = of_graphs([1] * 65), Tally()
    for event in (*begin(plan), *(end(plan, call) for call in range(done))):
        tally.count(event)
    assert f"graphs: {done} of 65, " in tally.line()


def test_one_graph_has_no_line() -> None:
    """A run of one graph shows what it always did."""
    tally = Tally()
    tally.count(RunBegan(at=BEGAN, plan=plan(2, 1000), run_id="x"))
    assert tally.graphs is None
    assert "graphs" not in tally.line()
