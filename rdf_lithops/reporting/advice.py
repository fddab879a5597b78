"""What a report suggests for the next run: each rule looks at the numbers and says one sentence with them, or nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from .values import RunRecord

__all__ = ["advise"]

MANY = 0.35  # a part that takes this share of the calls' time is worth a sentence
SHORT_S = 0.5  # nobody has to be told how to save less than this


def advise(report: RunRecord) -> Iterator[str]:
    """Sentences, those that save most first."""
    if report.maps:
        for rule in _RULES:
            yield from filter(None, (rule(report),))


def _start_up(report: RunRecord) -> str | None:
    """Starting ROOT and compiling cost each call the same, however little it has to do."""
    time_s, start_s = _mean(report, _WORK), _mean(report, ("cold start", "initialisation", "graph", "compilation"))
    if start_s < SHORT_S or start_s < MANY * time_s:
        return None
    compile_s = _mean(report, ("compilation",))
    said = f"calls ran {time_s:.1f} s on average, of which {start_s:.1f} s start-up ({compile_s:.1f} s compilation)"
    if not report.bill.billed_gb_s:  # fewer calls would leave workers idle that cost nothing
        return f"{said}: the next query on these workers finds ROOT up, and this graph compiled"
    work_s = (time_s - start_s) * len(report.maps)
    better = max(1, round(work_s / (4 * start_s)))  # start-up is a fifth of each call then
    if better >= len(report.maps):
        return None
    longer = f"{better} instead of {len(report.maps)} would cost less and run {start_s + work_s / better:.0f} s"
    return f"{said}: {longer} (npartitions, or options.ranges_per_call)"


def _imbalance(report: RunRecord) -> str | None:
    """The run waits for its slowest call."""
    times = [call.worker_s for call in report.maps]
    slowest = max(report.maps, key=lambda call: call.worker_s)
    typical = statistics.median(times)
    if len(times) < 3 or slowest.worker_s < 2 * typical or slowest.worker_s - typical < SHORT_S:
        return None
    part = max(slowest.parts, key=lambda name: slowest.parts[name])
    where = f" on {slowest.host}" if slowest.host else ""
    return (
        f"call {slowest.call_id}{where} took {slowest.worker_s:.1f} s, the median {typical:.1f} s, most of it {part}: "
        "use more and smaller ranges, so that none holds up the run"
    )


def _queue(report: RunRecord) -> str | None:
    queue_s = report.path.get("queue", 0.0)
    if queue_s < SHORT_S or queue_s < MANY * report.wall_s:
        return None
    workers = f" and {report.workers} workers" if report.workers else ""
    return (
        f"{queue_s:.1f} s of {report.wall_s:.1f} s were spent waiting for a worker, with {len(report.maps)} calls{workers}"
    )


def _memory(report: RunRecord) -> str | None:
    peak = max(call.peak_memory_mib for call in report.maps)
    if not report.memory_mib or not peak:
        return None
    if peak > 0.85 * report.memory_mib:
        return f"calls used {peak:.0f} of {report.memory_mib} MiB: give them more (runtime_memory), or use smaller ranges"
    if report.bill.cost_usd and peak < 0.4 * report.memory_mib:
        return (
            f"calls used {peak:.0f} of {report.memory_mib} MiB, and memory is what is billed: less of it (runtime_memory) "
            "costs less, unless your provider gives less CPU with it"
        )
    return None


def _reading(report: RunRecord) -> str | None:
    time_s, read_s = _mean(report, _WORK), _mean(report, ("read", "open"))
    if read_s < SHORT_S or read_s < MANY * time_s:
        return None
    rate = report.read_bytes / 1e6 / max(read_s * len(report.maps), 1e-9)
    return (
        f"{read_s / time_s:.0%} of the calls' time was waiting for data ({rate:.0f} MB/s per call): bring workers and data "
        "together, or use more calls"
    )


def _decompression(report: RunRecord) -> str | None:
    time_s, decompress_s = _mean(report, _WORK), _mean(report, ("decompression",))
    if decompress_s < SHORT_S or decompress_s < MANY * time_s:
        return None
    return f"{decompress_s / time_s:.0%} of the calls' time was decompression: files written with zstd or lz4 read faster"


def _results(report: RunRecord) -> str | None:
    largest = max(call.result_bytes for call in report.maps)
    moving_s = _mean(report, ("serialise", "upload"))
    if moving_s < SHORT_S or moving_s < 0.2 * _mean(report, _WORK):
        return None
    return f"partials of up to {largest / 1e6:.0f} MB took {moving_s:.1f} s per call: use fewer calls or coarser binning"


def _retries(report: RunRecord) -> str | None:
    lost = [call for call in report.calls if call.outcome != "ok"]
    if not lost or not report.repeated:
        return None
    why = (lost[0].why or lost[0].outcome).splitlines()[0][:150]
    return f"{report.repeated} calls had to run again; the first reason was: {why}"


def _mean(report: RunRecord, parts: tuple[str, ...]) -> float:
    return sum(call.parts.get(name, 0.0) for call in report.maps for name in parts) / len(report.maps)


_WORK = (  # of a call: what its worker does, without the waiting before and after
    "cold start",
    "initialisation",
    "graph",
    "compilation",
    "open",
    "read",
    "decompression",
    "loop",
    "merge",
    "serialise",
    "upload",
    "other",
)
_RULES: tuple[Callable[[RunRecord], str | None], ...] = (
    _start_up,
    _imbalance,
    _queue,
    _memory,
    _reading,
    _decompression,
    _results,
    _retries,
)
