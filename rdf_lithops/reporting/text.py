"""A report as text of about a hundred columns: what ran, where the time went, the calls, what to do better."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .advice import advise
from .values import CALL_PARTS, RUN_PARTS, Call, RunRecord

__all__ = ["PERCENTILES", "columns", "headlines", "percentiles", "quantity", "render", "shown_calls"]

MOST_CALLS = 12
MOST_OF_A_KIND = 3  # of many calls, of those that failed, that were repeated, and that are no map
PERCENTILES = {"fastest": 0.0, "10 %": 0.1, "half": 0.5, "90 %": 0.9, "99 %": 0.99, "slowest": 1.0}  # name: share below it
SHORT = {
    "initialisation": "init",
    "cold start": "start",
    "compilation": "compile",
    "decompression": "unzip",
    "serialise": "pickle",
}


def render(report: RunRecord) -> str:
    """Return the whole report as text; a part or column that is zero everywhere is left out."""
    return "\n".join([*headlines(report), "", *_parts(report), "", *_calls(report), *_graphs(report), *_conclusions(report)])


def headlines(report: RunRecord) -> Iterator[str]:
    """Yield a few lines that say what ran."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.began_at))
    ranges = sum(call.ranges for call in report.maps)
    attempts = f", {report.attempts} attempts" if report.attempts > 1 else ""
    ended = "failed after" if report.error else "took"
    graphs = f"{len(report.graphs)} graphs, " if report.graphs else ""
    what = f"{graphs}{ranges} ranges in {len(report.maps)} calls{attempts}"
    yield f"run {report.run_id or '?'} on {report.place}, {began}: {what}"
    yield f"  {ended} {report.wall_s:.2f} s" + "".join(f" · {fact}" for fact in _rates(report))
    if report.error:
        yield f"  error: {report.error}"
    yield f"  {_bill(report)}"
    yield from _restored(report)
    yield from _compilation(report)


def _restored(report: RunRecord) -> Iterator[str]:
    """How many cold starts were copies of a snapshot, and what that took."""
    restored, cold = [call for call in report.calls if call.restored], sum(call.cold for call in report.calls)
    if restored:
        longest_s = max(call.parts.get("cold start", 0.0) for call in restored)
        others = f", {cold - len(restored)} others started from nothing" if cold > len(restored) else ""
        yield f"  cold starts: {len(restored)} workers restored from a snapshot, {longest_s:.2f} s at most{others}"


def _compilation(report: RunRecord) -> Iterator[str]:
    """Who compiled a new graph: libraries that were made before, or Cling, now."""
    graphs = [share.units for share in report.graphs] or [report.maps]
    ready, made = (
        sum(max((getattr(unit, name) for unit in units), default=0) for units in graphs)
        for name in ("library_actions", "cling_actions")
    )
    if ready or made:
        longest_s = max(call.parts.get("compilation", 0.0) for call in report.maps)
        yield f"  compilation: {longest_s:.2f} s at most; {ready} kinds of actions from libraries, {made} compiled by Cling"


def _rates(report: RunRecord) -> Iterator[str]:
    if report.entries is not None and report.maps:
        yield f"{report.entries:,} entries, {quantity(report.entries / report.wall_s)} entries/s"
    if report.read_bytes:
        yield f"{quantity(report.read_bytes, 'B')} read"
    if report.fetched_bytes:
        yield f"{quantity(report.fetched_bytes, 'B')} fetched ({quantity(report.survey_bytes, 'B')} by the driver)"
    peak = max((call.peak_memory_mib for call in report.calls), default=0.0)
    if peak:
        of = f" of {report.memory_mib}" if report.memory_mib else ""
        yield f"peak memory {peak:.0f}{of} MiB"
    yield f"{report.repeated} calls repeated, {report.backups} backups"
    if report.skipped_files:
        yield f"{len(report.skipped_files)} files skipped"


def _bill(report: RunRecord) -> str:
    bill = report.bill
    if bill.core_hours is not None:
        return f"bill: {bill}"
    cost = f"USD {bill.cost_usd:.6f}" if bill.cost_usd is not None else "no price"
    return f"bill: {bill.billed_gb_s:.2f} GB-s, {bill.requests} requests, {cost}" + (
        f" ({bill.basis})" if bill.basis else ""
    )


def _parts(report: RunRecord) -> Iterator[str]:
    """Yield lines that say where the time went: the wall time, and that of all calls together."""
    totals, path = report.totals, report.path
    yield f"{'where the time went':<22}{'wall':>10}{'':>7}{'all calls':>12}"
    for name in RUN_PARTS:
        wall_s, total_s = path.get(name, 0.0), totals.get(name, 0.0)
        if max(wall_s, total_s) < 0.0005:
            continue
        together = f"{total_s:>10.3f} s" if name in CALL_PARTS else ""
        share = f"{wall_s / report.wall_s:>6.1%}" if report.wall_s > 0 else ""
        yield f"  {name:<20}{wall_s:>8.3f} s{share:>7}{together}".rstrip()
    yield f"  {'sum':<20}{sum(path.values()):>8.3f} s{'':>7}{sum(totals.values()):>10.3f} s"


def shown_calls(report: RunRecord) -> list[Call]:
    """Return all calls; of many the slowest, and the slowest of those that failed, that were repeated and that are no map,
    in order."""
    if len(report.calls) <= MOST_CALLS:
        return list(report.calls)
    order = sorted(report.calls, key=lambda call: -call.time_s)
    kinds = (
        [call for call in order if call.outcome != "ok"],
        [call for call in order if call.outcome == "ok" and call.attempt > 1],
        [call for call in order if call.stage != "map"],
    )
    some = [call for kind in kinds for call in kind[:MOST_OF_A_KIND]]
    kept = set(list(dict.fromkeys(map(id, [*some, *order])))[:MOST_CALLS])
    return [call for call in report.calls if id(call) in kept]


def percentiles(report: RunRecord) -> list[tuple[str, list[float]]]:
    """Of many map calls their seconds, together and by part, at each of PERCENTILES; nothing of few. A part is left out
    that takes less than 1 % of the slowest call."""
    maps = report.maps
    if len(maps) <= MOST_CALLS:
        return []
    parts = {name: sorted(call.parts.get(name, 0.0) for call in maps) for name in CALL_PARTS}
    whole = sorted(call.time_s for call in maps)
    worth = {name: values for name, values in parts.items() if values[-1] > 0.01 * whole[-1]}
    return [
        (name, [_at(values, share) for share in PERCENTILES.values()]) for name, values in {"a call": whole, **worth}.items()
    ]


def _at(ordered: list[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]


def columns(calls: list[Call]) -> list[str]:
    """The parts that take at least 1 % of the longest call's time somewhere; what is left is the column of the rest."""
    least = 0.01 * max((call.time_s for call in calls), default=0.0)
    return [name for name in CALL_PARTS if any(call.parts.get(name, 0.0) > least for call in calls)]


def _percentiles(report: RunRecord) -> Iterator[str]:
    found = percentiles(report)
    if found:
        yield f"{f'seconds of {len(report.maps)} calls':<24}" + "".join(f"{name:>10}" for name in PERCENTILES)
        for name, values in found:
            yield f"  {name:<22}" + "".join(f"{value:>10.3f}" for value in values)
        yield ""


def _calls(report: RunRecord) -> Iterator[str]:
    yield from _percentiles(report)
    shown = shown_calls(report)
    names = columns(shown)
    heads = "".join(f"{SHORT.get(name, name):>9}" for name in names)
    yield f"{'call':<10}{heads}{'rest':>9}{'sum s':>9}{'entries/s':>11}{'read':>9}{'MiB':>6}"
    for call in shown:
        yield _call(call, names)
    if len(shown) < len(report.calls):
        yield f"  and {len(report.calls) - len(shown)} others: all are in to_json()"


def _graphs(report: RunRecord) -> Iterator[str]:
    """A line for each graph of several; of many, those that failed and those that took longest."""
    if not report.graphs:
        return
    order = sorted(report.graphs, key=lambda share: (share.error is None, -share.seconds))
    shown = sorted(order[:MOST_CALLS], key=lambda share: share.graph)
    yield f"{'graph':<10}{'ranges':>9}{'entries':>11}{'s':>9}{'compile':>9}{'loop':>9}"
    for share in shown:
        compile_s, loop_s = (sum(unit.parts[name] for unit in share.units) for name in ("compilation", "loop"))
        counted = "" if share.entries is None else f"{share.entries:,}"
        failed = f"  failed: {share.error[:60]}" if share.error else ""
        figures = f"{share.seconds:>9.3f}{compile_s:>9.3f}{loop_s:>9.3f}"
        yield f"{share.graph:<10}{share.ranges:>9}{counted:>11}{figures}{failed}"
    if len(shown) < len(report.graphs):
        yield f"  and {len(report.graphs) - len(shown)} faster ones: all are in to_json()"


def _call(call: Call, names: list[str]) -> str:
    name = f"{call.stage} {call.call_id}" + (f".{call.attempt}" if call.attempt > 1 else "")
    parts = "".join(f"{call.parts.get(column, 0.0):>9.3f}" for column in names)
    rest_s = call.time_s - sum(call.parts.get(column, 0.0) for column in names)
    rate = quantity(call.entries_per_s) if call.entries_per_s is not None else ""
    read = quantity(call.read_bytes, "B") if call.read_bytes else ""
    memory = f"{call.peak_memory_mib:.0f}" if call.peak_memory_mib else ""
    failed = f"  {call.outcome}: {call.why.splitlines()[0][:60]}" if call.outcome != "ok" and call.why else ""
    return f"{name:<10}{parts}{rest_s:>9.3f}{call.time_s:>9.3f}{rate:>11}{read:>9}{memory:>6}{failed}".rstrip()


def _conclusions(report: RunRecord) -> Iterator[str]:
    for title, lines in (("note", report.notes), ("advice", advise(report))):
        for line in lines:
            yield f"{title}: {line}"


def quantity(value: float, unit: str = "") -> str:
    """Return three digits and a decimal prefix: ``1.25M``, or with a unit ``1.25 MB``."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(value) < 999.5 or prefix == "T":
            break
        value /= 1000
    digits = 0 if not prefix or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f}{' ' if unit else ''}{prefix}{unit}"
