"""``rdf-lithops demo``: the dimuon spectrum through Lithops and on one core."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from .. import demo
from ..errors import PlanError
from . import CheckFailed, _options, _run

__all__ = ["command"]


@click.command("demo", short_help="Plot the dimuon mass spectrum through Lithops and on one core.")
@_options.tree
@_options.files(required=False, default="  [default: a sample]")
@click.option(
    "--events",
    type=click.IntRange(min=4),
    default=1_000_000,
    show_default=True,
    help="Size of the sample that is made when there are no --files.",
)
@click.option("--folder", default="demo", show_default=True, help="Where the sample is kept, and found again.")
@_options.npartitions
@_options.config
@click.option("--output", default="dimuon.png", show_default=True, help="The picture; its ending says the format.")
@click.option("--report", type=click.Path(dir_okay=False, writable=True), help="Save the first query's report here (JSON).")
@click.option("--no-local", is_flag=True, help="Do not repeat the analysis without Lithops and compare.")
@_options.as_json
def command(
    tree: str,
    files: tuple[str, ...],
    events: int,
    folder: str,
    npartitions: int | None,
    config: str | None,
    output: str,
    report: str | None,
    no_local: bool,
    as_json: bool,
) -> None:
    """Plot the dimuon mass spectrum through Lithops, and compare it with one core.

    Makes a sample of simulated dimuon events (once: it is kept in --folder), runs the spectrum through Lithops, draws
    it, prints the cut flow and the times, and checks that plain RDataFrame gives the same entries, cut flow and bins.
    Ends with status 3 if it does not.

    \b
    Examples:
      rdf-lithops demo
      rdf-lithops demo --files 'nano/*.root' --npartitions 8
      rdf-lithops demo --report run.json && rdf-lithops report run.json
      rdf-lithops demo --json | jq .entries
      rdf-lithops demo --config my_cloud.yaml --files root://host//path/file.root --no-local
    """
    _check_output(output)
    paths = _run.read_input(tree, files or _sample(folder, events))
    _options.say(f"input    {len(paths)} file{'s' if len(paths) > 1 else ''}, tree {tree}")
    first, second = _run_on_lithops(tree, paths, npartitions, config, report)
    _show_result(first, output)
    local = None if no_local else _compare(first, tree, paths)
    if as_json:
        click.echo(json.dumps(_facts(first, second, local, output)))


def _facts(first: demo.Measured, second: demo.Measured, local: demo.Measured | None, output: str) -> dict[str, Any]:
    """What was printed, for machines."""
    return {
        "entries": first.entries,
        "cuts": [vars(cut) for cut in first.cuts],
        "first_query_s": first.wall_s,
        "second_query_s": second.wall_s,
        "local_s": None if local is None else local.wall_s,
        "picture": os.path.abspath(output),
    }


def _check_output(path: str) -> None:
    """Before anything is paid: a picture that cannot be written should not cost a run."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise PlanError(f"expected a folder to write the picture to, got {folder}")
    if not path.endswith((".png", ".pdf", ".svg", ".eps", ".jpg")):
        raise PlanError(f"expected a picture's name that ends in .png, .pdf, .svg, .eps or .jpg, got {path}")


def _sample(folder: str, events: int) -> list[str]:
    _options.say(f"sample   {events:,} simulated events in {folder}{os.sep} (made once, then kept)")
    return demo.make_sample(folder, events=events)


def _run_on_lithops(
    tree: str, paths: list[str], npartitions: int | None, config: str | None, report: str | None
) -> tuple[demo.Measured, demo.Measured]:
    """Run the spectrum twice: the first query starts ROOT on the workers and compiles, the second finds both done."""
    frames = []

    def frame() -> Any:
        frames.append(_run.frame(executor, tree, paths, npartitions))
        return frames[-1]

    with _run.executor(config) as executor:
        backend = executor.config["lithops"]["backend"]
        _options.say(f"lithops  the dimuon spectrum on {backend}, twice: the first query also starts ROOT and compiles,")
        _options.say("         and the second finds both done where processes stay between queries")
        first, second = demo.measure(frame), demo.measure(frame)
    _options.say(f"time     first query {first.wall_s:.2f} s, the same again {second.wall_s:.2f} s")
    if report:
        _save_report(frames[0], report)
    _require_equal(first, second, "the second query")
    return first, second


def _save_report(frame: Any, path: str) -> None:
    from .. import report

    with open(path, "w", encoding="utf-8") as file:
        file.write(report(frame).to_json())
    _options.say(f"report   {path} (see it with: rdf-lithops report {path})")


def _show_result(measured: demo.Measured, output: str) -> None:
    demo.save_plot(measured.histogram, output)
    _options.say(f"picture  {os.path.abspath(output)}\n\n{demo.cut_flow_table(measured.cuts)}\n")
    _options.say(f"entries  {measured.entries} through Lithops")


def _compare(first: demo.Measured, tree: str, paths: list[str]) -> demo.Measured:
    import ROOT

    local = demo.measure(lambda: ROOT.RDataFrame(tree, paths))
    _options.say(f"entries  {local.entries} with local RDataFrame, one core, in {local.wall_s:.2f} s")
    _require_equal(first, local, "local RDataFrame")
    _options.say(f"equal    entries, cut flow and all {local.histogram.GetNbinsX()} bins")
    return local


def _require_equal(first: demo.Measured, other: demo.Measured, what: str) -> None:
    found = demo.differences(first, other)
    if found:
        raise CheckFailed(f"Lithops' first query and {what} differ in " + "; ".join(found))
