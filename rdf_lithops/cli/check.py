"""``rdf-lithops check``: whether everything is ready to run there."""

from __future__ import annotations

import json

import click

from ..deployment import check
from . import CheckFailed, _options

__all__ = ["command"]


@click.command("check", short_help="Say whether everything is ready to run there.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="[default: as Lithops finds one]")
@click.option("--source", multiple=True, metavar="FILE", help="Data to be read: a path or URL; give it again for more.")
@click.option("--calls", type=click.IntRange(min=1), default=1, show_default=True, help="Calls that a run would make.")
@_options.as_json
def command(config: str | None, source: tuple[str, ...], calls: int, as_json: bool) -> None:
    """Check storage, role, runtime, limits, clock and data of a configuration; change nothing.

    One line each: ok, or what is wrong and the command that mends it.

    \b
    Example:
      rdf-lithops check --config configs/aws_lambda.yaml --source s3://bucket/run.root --calls 200
    """
    findings = check.check(config, source, calls)
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(str(finding))
    wrong = sum(finding.level == "wrong" for finding in findings)
    if wrong:
        raise CheckFailed(f"{wrong} of {len(findings)} findings are wrong")
