"""``rdf-lithops report``: read a saved report, and show it or turn it into HTML or a picture."""

from __future__ import annotations

import sys

import click

from ..errors import PlanError
from ..reporting import Report
from . import _options

__all__ = ["command"]


@click.command("report", short_help="Show a saved report: where each second and cent of a run went.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--html", type=click.Path(dir_okay=False, writable=True), help="Write one HTML file that needs nothing else.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True),
    help="Draw the calls' timeline (.png, .pdf, .svg); needs rdf_lithops[plot].",
)
@_options.as_json
def command(file: str, html: str | None, plot: str | None, as_json: bool) -> None:
    """Show the report in FILE, which is JSON; - is standard input.

    A program saves the report of its last run with open("run.json", "w").write(rdf_lithops.report(df).to_json()), the
    demonstration with --report. Needs neither ROOT nor the place where it ran.

    \b
    Examples:
      rdf-lithops report run.json
      rdf-lithops report run.json --html run.html --plot run.png
      rdf-lithops report run.json --json | jq .path
    """
    report = _read(file)
    if html:
        report.to_html(html)
        click.echo(f"page     {html}", err=True)
    if plot:
        report.plot(plot)
        click.echo(f"picture  {plot}", err=True)
    if as_json or not (html or plot):
        click.echo(report.to_json() if as_json else report)


def _read(file: str) -> Report:
    try:
        if file == "-":
            return Report.from_json(sys.stdin.read())
        with open(file, encoding="utf-8") as saved:
            return Report.from_json(saved.read())
    except ValueError as error:
        raise PlanError(f"{file} is no report that rdf_lithops saved: {error}") from error
