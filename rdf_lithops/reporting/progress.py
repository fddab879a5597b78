"""What a run is doing, for people who watch it: a bar in terminals and notebooks, a line now and then in logs.

``Tally`` counts what the events say; ``consumer`` gives the consumer of events that shows it where the user looks.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from ..planning.plans import Plan
from ..run.events import (
    AttemptBegan,
    BackupStarted,
    CallBegan,
    CallEnded,
    CallFailed,
    CallProgressed,
    CallsTakenUp,
    Consumer,
    Event,
    ReduceEnded,
    RunBegan,
    RunEnded,
)
from .graph_progress import BAR, GraphBars, Graphs
from .text import quantity

__all__ = ["Bar", "Lines", "Tally", "consumer", "in_notebook"]

logger = logging.getLogger(__name__)

FIRST_BAR_S = 1.0  # a query that takes less needs no bar, which would flash in terminals and leave its trace in notebooks
SHOWN_EVERY_S = 0.1  # thousands of calls have more to tell than a terminal can show
TELLING_S = 1.0  # of entries that come: a shorter time says how long it took to start, and not how long the rest takes
FIRST_LINE_S, LAST_GAP_S = 10.0, 300.0  # lines of a log: after these seconds, then in gaps that double up to that


@dataclass
class Tally:
    """Where a run stands. ``total`` entries are None where the plan does not say how many there are."""

    calls: int = 0
    total: int | None = None
    began_at: float = 0.0
    now: float = 0.0
    attempt: int = 1
    backups: int = 0
    finished: dict[int, int] = field(default_factory=dict)  # call: its entries
    running: dict[int, int] = field(default_factory=dict)  # call: entries so far
    failed: set[int] = field(default_factory=set)
    reduced: bool = False
    graphs: Graphs | None = None  # where there are several
    taken_up: int = 0  # entries of calls whose partials were there before
    entries: int = 0  # done, those of calls that still run included
    first: tuple[float, int] | None = None  # when entries were first heard of, and how many

    def count(self, event: Event) -> None:
        """Count ``event``."""
        self.now = event.at
        if isinstance(event, RunBegan):
            self.calls, self.total, self.began_at = event.plan.calls, expected_entries(event.plan), event.at
            self.graphs = Graphs(event.plan) if event.plan.graphs > 1 else None
        elif isinstance(event, AttemptBegan):
            self.attempt = event.number
            self.failed.difference_update(event.call_ids)
        elif isinstance(event, BackupStarted):
            self.backups += len(event.call_ids)
        elif isinstance(event, CallsTakenUp):
            self.finished.update(dict.fromkeys(event.call_ids, 0))
            self.taken_up += event.entries or 0
            self.entries += event.entries or 0
        elif isinstance(event, CallBegan):
            self._progress(event.call_id, 0)
        elif isinstance(event, CallProgressed):
            self._progress(event.call_id, event.entries)
        elif isinstance(event, CallEnded):
            self._progress(event.call_id, None)
            self.failed.discard(event.call_id)
            self.entries += (event.entries or 0) - self.finished.get(event.call_id, 0)
            self.finished[event.call_id] = event.entries or 0
        elif isinstance(event, CallFailed):
            self._progress(event.call_id, None)
            self.failed.add(event.call_id)
        elif isinstance(event, ReduceEnded):
            self.reduced = True
        if self.graphs is not None:
            self.graphs.count(event)
        if self.first is None and self.entries > self.taken_up:
            self.first = self.now, self.entries

    def _progress(self, call_id: int, entries: int | None) -> None:
        """A call has done so many entries; None: it does not run any more."""
        before = self.running.pop(call_id, 0)
        self.entries -= before
        if entries is not None and call_id not in self.finished:  # a backup may still beat
            self.running[call_id] = max(entries, before)
            self.entries += self.running[call_id]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return max(0.0, self.now - self.began_at)

    @property
    def entries_per_s(self) -> float:
        """The pace: since the first entries were heard of, and, as long as that says little, since the run began."""
        at, entries = self.first or (self.now, self.taken_up)
        if not self._is_telling:
            at, entries = self.began_at, self.taken_up
        return (self.entries - entries) / (self.now - at) if self.now > at else 0.0

    @property
    def _is_telling(self) -> bool:
        """Whether entries have come for long enough to tell the pace of the rest."""
        return self.first is not None and self.now - self.first[0] >= TELLING_S and self.entries > self.first[1]

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at this pace; None as long as nobody can tell."""
        if self.total is not None:
            return max(0, self.total - self.entries) / self.entries_per_s if self._is_telling else None
        done = len(self.finished)
        return (self.calls - done) * self.elapsed_s / done if done else None

    def states(self) -> str:
        """The numbers of calls by what they do."""
        graphs = "" if self.graphs is None else f"graphs: {self.graphs.done} of {len(self.graphs.standings)}, "
        if len(self.finished) == self.calls:
            return f"{graphs}{self.calls} calls done" + ("" if self.reduced else ", reducing")
        calls = f"{len(self.running)} running, {len(self.finished)} of {self.calls} done, {len(self.failed)} failed"
        said = f"{graphs}calls: {calls}"
        said += f", attempt {self.attempt}" if self.attempt > 1 else ""
        return said + (f", {self.backups} backups" if self.backups else "")

    def line(self) -> str:
        """Where the run stands, in one line."""
        of = f" of {self.total:,}" if self.total is not None else ""
        left = f", {_clock(self.left_s)} left" if self.left_s is not None and not self.reduced else ""
        done = f"{self.entries:,}{of} entries, {self.entries_per_s:,.0f}/s"
        return f"{done}, {self.states()}, {_clock(self.elapsed_s)} gone{left}"

    def brief(self) -> str:
        """Where the run stands in few words, which fit beside a bar into 80 columns."""
        of = f"/{quantity(self.total)}" if self.total is not None else ""
        done = f"{quantity(self.entries)}{of} entries, {quantity(self.entries_per_s)}/s"
        if len(self.finished) == self.calls:
            return f"{done}, {self.states()}"
        calls = f"calls: {len(self.running)} running, {len(self.finished)}/{self.calls} done, {len(self.failed)} failed"
        when = f"{_clock(self.elapsed_s)} gone" if self.left_s is None else f"{_clock(self.left_s)} left"
        return f"{done}, {calls}, {when}"


def expected_entries(plan: Plan) -> int | None:
    """Return the entries of all ranges of ``plan``; None if a range does not say how many it has."""
    total = 0
    for item in plan.iterdata:
        for fields in item["call"]["ranges"]:
            entries = fields.get("entries")
            if entries is None and "start" in fields:
                entries = fields["end"] - fields["start"]
            if entries is None:
                return None
            total += entries
    return total


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Bar:
    """A tqdm bar of entries (of calls, where entries are not known in advance) from the first second to the run's end.

    Where several graphs run as one, each has a line below it, drawn by ``graph_bar`` (see ``graph_progress``); None for no
    such lines, where whatever shows the bar does not move up a line.
    """

    def __init__(self, make: Any, graph_bar: str | None = BAR) -> None:
        self.make = make  # tqdm's class for the terminal or the notebook
        self.graph_bar = graph_bar
        self.graph_bars: GraphBars | None = None
        self.tally = Tally()
        self.bar: Any = None
        self.shown_s = -SHOWN_EVERY_S

    def __call__(self, event: Event) -> None:
        """Show ``event``, unless another one was shown just now."""
        self.tally.count(event)
        if self.bar is not None and self.tally.elapsed_s < self.shown_s + SHOWN_EVERY_S and not isinstance(event, RunEnded):
            return
        self.shown_s = self.tally.elapsed_s
        if self.bar is None:
            if self.tally.elapsed_s < FIRST_BAR_S or isinstance(event, RunEnded):
                return
            self.bar = self._bar()
            if self.tally.graphs is not None and self.graph_bar is not None:
                self.graph_bars = GraphBars(self.make, self.tally.graphs, self.bar, self.graph_bar)
        counted = self.tally.entries if self.tally.total is not None else len(self.tally.finished)
        self.bar.n = min(counted, self.bar.total)
        self.bar.set_description_str(self.tally.brief(), refresh=False)
        if isinstance(event, RunEnded):
            self._close()
        else:
            self.bar.refresh()
            if self.graph_bars is not None:
                self.graph_bars.refresh()

    def _close(self) -> None:
        if self.graph_bars is not None:
            self.graph_bars.close()
        self.bar.close()
        self.bar = self.graph_bars = None

    def _bar(self) -> Any:
        total = self.tally.total if self.tally.total is not None else self.tally.calls
        return self.make(total=total, bar_format="{percentage:3.0f}%|{bar}| {desc}", leave=False, dynamic_ncols=True)


class Lines:
    """A line after ten seconds, then in growing gaps, and one at the end if there was one before; written by ``write``."""

    def __init__(self, write: Any) -> None:
        self.write = write
        self.tally = Tally()
        self.next_s = FIRST_LINE_S
        self.gap_s = FIRST_LINE_S

    def __call__(self, event: Event) -> None:
        """Write a line if it is time."""
        self.tally.count(event)
        if isinstance(event, RunEnded):
            if self.gap_s > FIRST_LINE_S or self.next_s > FIRST_LINE_S:
                self.write(self.tally.line() + (f": {event.error}" if event.error else ""))
        elif self.tally.elapsed_s >= self.next_s:
            self.write(self.tally.line())
            self.next_s = self.tally.elapsed_s + self.gap_s
            self.gap_s = min(2 * self.gap_s, LAST_GAP_S)


def consumer(wanted: bool | None) -> Consumer | None:
    """Who shows a run's progress: True everywhere, None where somebody is likely to look, False nowhere.

    A bar in a notebook or a terminal; where standard error is a file, lines: on standard error if wanted, else to the log.
    """
    if wanted is False:
        return None
    if in_notebook():
        return Bar(*_notebook_bar())
    if sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm

        return Bar(tqdm)
    return Lines(_to_standard_error if wanted else logger.info)


def _to_standard_error(line: str) -> None:
    sys.stderr.write(f"rdf_lithops: {time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def in_notebook() -> bool:
    """Whether this program is a kernel that a notebook talks to."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def _notebook_bar() -> tuple[Any, str | None]:
    """tqdm's widget where ipywidgets are installed, and how it draws a graph's bar; else its text, which notebooks show too,
    but no line below it."""
    if importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm

        return tqdm, "{bar}"
    from tqdm import tqdm

    return tqdm, None
