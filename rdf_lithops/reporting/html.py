"""A report as HTML without anything outside it: no script, no font, no picture to load. Notebooks show the fragment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from .advice import advise
from .text import PERCENTILES, columns, headlines, percentiles, quantity, shown_calls
from .timeline import COLOURS, FAILED_COLOUR, Row, Segment, parts_shown, path_segments, rows, thinned
from .values import CALL_PARTS, MEANINGS, RUN_PARTS, Call, RunRecord

__all__ = ["fragment", "page"]

WIDTH, LEFT, RIGHT = 940, 78, 12  # of the picture, in pixels
TALLEST = 420  # of the rows together

_STYLE = """
.rdfl{font:14px/1.45 system-ui,sans-serif;color:#1d2733;background:#fff;max-width:960px}
.rdfl h3{margin:.2em 0;font-size:1.1em}.rdfl p{margin:.25em 0}.rdfl svg{width:100%;height:auto;display:block}
.rdfl table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums;margin:.6em 0}
.rdfl td,.rdfl th{padding:2px 8px;text-align:right;border-bottom:1px solid #e3e6ea;background:none}
.rdfl td:first-child,.rdfl th:first-child,.rdfl td.l{text-align:left}.rdfl .k{display:inline-block;width:10px;height:10px;
border-radius:2px;margin-right:5px}.rdfl .a{background:#fff7e0;border-left:4px solid #f4a259;padding:4px 10px;margin:6px 0}
.rdfl .e{background:#fdecea;border-left:4px solid #9b2226;padding:4px 10px;margin:6px 0}.rdfl .w{overflow-x:auto}
.rdfl .n{white-space:nowrap;margin-right:12px}.rdfl .c td,.rdfl .c th{white-space:nowrap}
.rdfl .c .f{white-space:normal;display:inline-block;min-width:24em}
"""


def page(report: RunRecord) -> str:
    """Return a whole HTML file."""
    title = escape(f"rdf_lithops report {report.run_id}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"></head><body>{fragment(report)}</body></html>\n'
    )


def fragment(report: RunRecord) -> str:
    """Return the HTML that a notebook shows."""
    title, *lines = headlines(report)
    body = [f"<h3>{escape(title)}</h3>", *(f"<p>{escape(line.strip())}</p>" for line in lines if "error: " not in line)]
    body += [f'<p class="e">{escape(report.error)}</p>'] if report.error else []
    body += [f'<p class="a">{escape(line)}</p>' for line in advise(report)]
    body += [f"<p>Note: {escape(line)}</p>" for line in report.notes]
    body += [_picture(report), _parts(report), _percentiles(report), _calls(report)]
    return f'<div class="rdfl"><style>{_STYLE}</style>{"".join(body)}</div>'


# -- the picture ------------------------------------------------------------------------------------------------------


def _picture(report: RunRecord) -> str:
    """The critical path as one bar, then one row per call, over one axis of seconds."""
    every_call = rows(report)
    drawn = thinned(every_call)
    step = min(22.0, max(1.0, TALLEST / max(1, len(drawn))))
    height = 46 + step * len(drawn) + 34
    scale = (WIDTH - LEFT - RIGHT) / max(report.wall_s, 1e-9)
    shapes = [*_grid(report.wall_s, scale, height), *_bar(path_segments(report), 14.0, 18.0, scale, "the run")]
    shapes.append('<text x="4" y="28" font-size="11">the run</text>')
    every = math.ceil(11 / step)  # labels that do not run into each other
    for number, row in enumerate(drawn):
        top = 46 + step * number
        shapes += _bar(row.segments, top, step * 0.86 if step > 3 else step, scale, _tooltip(row), row.call)
        if number % every == 0:
            shapes.append(f'<text x="4" y="{top + min(step, 14) * 0.75:.1f}" font-size="11">{escape(row.label)}</text>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="timeline of the calls" font-family="sans-serif" '
        f'fill="#1d2733">{"".join(shapes)}</svg>{_left_out(len(every_call), len(drawn))}{_legend(report)}'
    )


def _left_out(calls: int, drawn: int) -> str:
    said = f"{drawn} of {calls} calls are drawn: some at even distances, those that took longest or failed among them."
    return f"<p>{said}</p>" if drawn < calls else ""


def _bar(
    segments: Sequence[Segment], top: float, height: float, scale: float, label: str, call: Call | None = None
) -> Iterator[str]:
    for one in segments:
        x, width = LEFT + one.start_s * scale, max(one.length_s * scale, 0.3)
        said = escape(f"{label}: {one.part} {one.length_s:.3f} s")
        yield (
            f'<rect x="{x:.2f}" y="{top:.1f}" width="{width:.2f}" height="{height:.1f}" fill="{COLOURS[one.part]}">'
            f"<title>{said}</title></rect>"
        )
    if call is not None and call.outcome != "ok" and segments:
        last = segments[-1]
        x, y = LEFT + (last.start_s + last.length_s) * scale, top + height / 2
        why = f"<title>{escape(call.outcome)}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{FAILED_COLOUR}">{why}</circle>'


def _tooltip(row: Row) -> str:
    return f"{row.label}{' on ' + row.call.host if row.call.host else ''}"


def _grid(wall_s: float, scale: float, height: float) -> Iterator[str]:
    for seconds in _ticks(wall_s):
        x = LEFT + seconds * scale
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{height - 26:.0f}" stroke="#e3e6ea"/>'
        yield f'<text x="{x:.1f}" y="{height - 10:.0f}" font-size="11" text-anchor="middle">{seconds:g} s</text>'


def _ticks(wall_s: float) -> list[float]:
    """Some five to ten round numbers of seconds."""
    rough = max(wall_s, 1e-6) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min(factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(step * i, 9) for i in range(int(wall_s / step * 0.999) + 1)]


def _legend(report: RunRecord) -> str:
    return "<p>" + " ".join(f'<span class="n">{_key(name)}{escape(name)}</span>' for name in parts_shown(report)) + "</p>"


def _key(name: str) -> str:
    return f'<span class="k" style="background:{COLOURS[name]}"></span>'


# -- the tables -------------------------------------------------------------------------------------------------------


def _parts(report: RunRecord) -> str:
    totals = report.totals
    lines = []
    for name in RUN_PARTS:
        wall_s, total_s = report.path.get(name, 0.0), totals.get(name, 0.0)
        if max(wall_s, total_s) < 0.0005:
            continue
        share = f"{wall_s / report.wall_s:.1%}" if report.wall_s > 0 else ""
        together = f"{total_s:.3f} s" if name in CALL_PARTS else ""
        cells = f"<td>{wall_s:.3f} s</td><td>{share}</td><td>{together}</td><td class=l>{escape(MEANINGS[name])}</td>"
        lines.append(f"<tr><td>{_key(name)}{escape(name)}</td>{cells}</tr>")
    sums = f"<td>{sum(report.path.values()):.3f} s</td><td></td><td>{sum(totals.values()):.3f} s</td><td></td>"
    head = "<tr><th>part</th><th>wall time</th><th></th><th>all calls</th><th></th></tr>"
    return f'<div class="w"><table>{head}{"".join(lines)}<tr><th>sum</th>{sums}</tr></table></div>'


def _percentiles(report: RunRecord) -> str:
    found = percentiles(report)
    heads = "".join(f"<th>{escape(name)}</th>" for name in PERCENTILES)
    lines = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{value:.3f}</td>' for value in values)}</tr>" for name, values in found
    )
    title = f"seconds of {len(report.maps)} calls"
    return f'<div class="w"><table><tr><th>{title}</th>{heads}</tr>{lines}</table></div>' if found else ""


def _calls(report: RunRecord) -> str:
    shown = shown_calls(report)
    names = columns(shown)
    heads = "".join(f"<th>{escape(name)}</th>" for name in (*names, "rest", "sum, s", "entries/s", "read", "peak MiB"))
    lines = "".join(_call(call, names) for call in shown)
    left_out = len(report.calls) - len(shown)
    more = f"<p>{left_out} other calls are not listed; all are in <code>to_json()</code>.</p>" if left_out else ""
    return f'<div class="w"><table class="c"><tr><th>call</th>{heads}</tr>{lines}</table></div>{more}'


def _call(call: Call, names: list[str]) -> str:
    rate = quantity(call.entries_per_s) if call.entries_per_s is not None else ""
    read = quantity(call.read_bytes, "B") if call.read_bytes else ""
    memory = f"{call.peak_memory_mib:.0f}" if call.peak_memory_mib else ""
    seconds = [call.parts.get(name, 0.0) for name in names]
    figures = [f"{one:.3f}" for one in (*seconds, call.time_s - sum(seconds), call.time_s)]
    cells = "".join(f"<td>{cell}</td>" for cell in (*figures, rate, read, memory))
    failed = (
        f' <span class="f"><b>{escape(call.outcome)}</b>: {escape(call.why[:200])}</span>' if call.outcome != "ok" else ""
    )
    attempt = f".{call.attempt}" if call.attempt > 1 else ""
    return f"<tr><td>{call.stage} {call.call_id}{attempt}{failed}</td>{cells}</tr>"
