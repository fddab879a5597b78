"""Tables of records: one per question, with the ratios of ours to every other place."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .places import KEPT, PLACES
from .questions import QUESTIONS

__all__ = ["Figures", "figures", "render"]

OURS = "rdf_lithops"
NOISE = 0.05  # of the machine's processor time spent on something else: more is worth a warning
UNEQUAL = 0.1  # of the time that a core takes for the same: more is worth a warning
Line = dict[str, Any]  # a record as results.jsonl has it


@dataclass(frozen=True)
class Figures:
    """Medians over all programs of one place; ``later_s`` holds every later query, ``changed_s`` every changed one."""

    place: str
    first_s: float
    later_s: list[float]
    changed_s: list[float]
    first_cpu_s: float
    later_cpu_s: float
    peak_memory_mib: float
    compile_s: dict[str, float]

    @property
    def median_later_s(self) -> float:
        """Of all later queries."""
        return _median(self.later_s)


def figures(lines: Sequence[Line]) -> dict[str, Figures]:
    """The figures of each place that has ``lines``, which are of one question, in the order of PLACES."""
    found = {}
    for place in PLACES:
        own = [line for line in lines if line["place"] == place and not line["error"]]
        if own:
            found[place] = _figures(place, own)
    return found


def _figures(place: str, lines: Sequence[Line]) -> Figures:
    queries = [query for line in lines for query in line["queries"]]

    def each(kind: str, what: str) -> list[float]:
        return [query[what] for query in queries if query["kind"] == kind]

    def compiled(kind: str) -> float:
        return _median([query["facts"]["compile_s"] for query in queries if query["kind"] == kind])

    reported = all("compile_s" in query["facts"] for query in queries)
    return Figures(
        place=PLACES[place].label,
        first_s=_median(each("first", "wall_s")),
        later_s=each("later", "wall_s"),
        changed_s=each("changed", "wall_s"),
        first_cpu_s=_median(each("first", "cpu_s")),
        later_cpu_s=_median(each("later", "cpu_s")),
        peak_memory_mib=max(line["peak_memory_mib"] for line in lines),
        compile_s={kind: compiled(kind) for kind in ("first", "changed", "later")} if reported else {},
    )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def render(lines: Sequence[Line]) -> str:
    """The table of one question's records."""
    question, head = QUESTIONS[lines[0]["question"]], lines[0]
    found = figures(lines)
    changes = question.changes
    parts = [f"{question.name}: {question.text}", _shape(head), "", *_rows(found, changes), *_compilation(found)]
    parts += ["", *_ratios(found, changes)] if OURS in found and len(found) > 1 else []
    return "\n".join([*parts, *_remarks(lines)])


def _shape(head: Line) -> str:
    source = f"{head['events']:,} events in {head['files']} files" if head["files"] else f"{head['events']:,} entries"
    schedule = head["schedule"]
    return (
        f"{source}, {head['ranges']} ranges, {schedule['cores']} cores; programs per place: {schedule['repetitions']}, "
        f"later queries in each: {schedule['later']}; medians, wall seconds"
    )


def _rows(found: dict[str, Figures], changes: bool) -> list[str]:
    new = f"{'new graph':>11}{'- again':>9}" if changes else ""
    later = "again" if changes else "later"
    header = (
        f"{'':<15}{'first':>8}{later:>9}{'(fastest ... slowest)':>24}{new}{'CPU first':>11}{'CPU later':>11}{'peak MiB':>10}"
    )
    return [header, *(_row(item, changes) for item in found.values())]


def _row(item: Figures, changes: bool) -> str:
    spread = f"({min(item.later_s):.2f} ... {max(item.later_s):.2f})" if item.later_s else ""
    again = item.median_later_s
    new_s = _median(item.changed_s)
    new = f"{new_s:>11.2f}{new_s - again:>9.2f}" if changes else ""
    cpu = f"{item.first_cpu_s:>11.2f}{item.later_cpu_s:>11.2f}"
    return f"{item.place:<15}{item.first_s:>8.2f}{again:>9.2f}{spread:>24}{new}{cpu}{item.peak_memory_mib:>10.0f}"


def _compilation(found: dict[str, Figures]) -> list[str]:
    """What our own workers report: a graph that is known to its slot is not compiled again."""
    reported = found[OURS].compile_s if OURS in found else {}
    named = {"first": "first query", "changed": "new graph", "later": "known graph"}
    said = [f"{name} {reported[kind]:.2f}" for kind, name in named.items() if reported.get(kind, float("nan")) >= 0]
    return [f"seconds of compilation that {OURS} reports, slowest call: {', '.join(said)}"] if said else []


def _ratios(found: dict[str, Figures], changes: bool) -> list[str]:
    others = [item for place, item in found.items() if place not in (OURS, KEPT)]
    measures: dict[str, Callable[[Figures], float]] = {"first query": lambda item: item.first_s}
    if changes:
        measures["new graph"] = lambda item: _median(item.changed_s)
    measures["same graph again" if changes else "later queries"] = lambda item: item.median_later_s
    measures["CPU of later queries"] = lambda item: item.later_cpu_s
    measures["peak memory"] = lambda item: item.peak_memory_mib
    header = f"{OURS + ' divided by':<24}" + "".join(f"{item.place:>15}" for item in others)
    rows = [(name, found[OURS], measure) for name, measure in measures.items()]
    if KEPT in found:
        rows.insert(1, ("- kept warm", found[KEPT], measures["first query"]))
    return [header] + [
        f"  {name:<22}" + "".join(f"{_ratio(measure(item), measure(other)):>15}" for other in others)
        for name, item, measure in rows
    ]


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}" if other > 0 else "-"


def _remarks(lines: Sequence[Line]) -> list[str]:
    """What makes a table worth less than it looks: failures, leftovers, a machine that did something else."""
    remarks = []
    for line in lines:
        who = f"{PLACES[line['place']].label}, program {line['repetition'] + 1}"
        if line["error"]:
            remarks.append(f"FAILED: {who}: {line['error'].splitlines()[0]}")
        elif line["left_behind"]:
            remarks.append(f"REMARK: {who} left {line['left_behind']} processes behind, which were killed")
    worst = max((_others_share(line) for line in lines if not PLACES[line["place"]].forgets_cpu), default=0.0)
    if worst > NOISE:
        remarks.append(f"REMARK: up to {worst:.0%} of the machine was busy with something else; run it again, alone")
    if any(PLACES[line["place"]].learns and line.get("machine", {}).get("has_fixed_libraries") for line in lines):
        remarks.append("REMARK: RDF_LITHOPS_INSTANTIATIONS is set, so no library is made for these graphs; unset it")
    slower = statistics.median(_slower(line) for line in lines)
    if slower > 1.0 + UNEQUAL:
        remarks.append(f"REMARK: one core takes {slower:.2f} times as long as another; equal ranges wait for it")
    return ["", *remarks] if remarks else []


def _slower(line: Line) -> float:
    """How many times as long as the fastest core the slowest one took for the same; 1 where nobody has looked."""
    seconds = line.get("core_s") or [1.0]
    return float(max(seconds) / min(seconds))


def _others_share(line: Line) -> float:
    return float(line["others_cpu_s"] / max(line["wall_s"] * line["schedule"]["cores"], 1e-9))
