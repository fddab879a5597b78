"""``rdf-lithops plan``: what the demonstration's analysis would invoke on files of one's own."""

from __future__ import annotations

import json

import click

from .. import demo
from ..planning import Plan
from . import _options, _run

__all__ = ["command"]


@click.command("plan", short_help="Print the calls that the spectrum would make; make none.")
@_options.tree
@_options.files(required=True)
@_options.npartitions
@_options.config
@_options.as_json
def command(tree: str, files: tuple[str, ...], npartitions: int | None, config: str | None, as_json: bool) -> None:
    """Print the calls that the dimuon spectrum would make, and make none of them.

    \b
    Examples:
      rdf-lithops plan --files 'nano/*.root' --npartitions 100 --config my_cloud.yaml
      rdf-lithops plan --files 'nano/*.root' --json | jq .calls
    """
    paths = _run.read_input(tree, files)
    click.echo(f"input    {len(paths)} file{'s' if len(paths) > 1 else ''}, tree {tree}", err=as_json)
    from .. import plan

    with _run.executor(config) as executor:
        histogram, _ = demo.spectrum(_run.frame(executor, tree, paths, npartitions))
        planned = plan(histogram)
        click.echo(_as_json(planned) if as_json else planned)


def _as_json(planned: Plan) -> str:
    return json.dumps({"calls": planned.calls, "ranges": planned.ranges, "iterdata": planned.iterdata})
