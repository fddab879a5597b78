"""``rdf-lithops replay``: one failed range, here and in the foreground."""

from __future__ import annotations

import json

import click

from ..executor import replay
from . import FAILED, _options

__all__ = ["command"]


@click.command("replay", short_help="Run one failed range here, in the foreground.")
@click.argument("path", type=click.Path(exists=True, dir_okay=False))
@_options.as_json
@click.pass_context
def command(context: click.Context, path: str, as_json: bool) -> None:
    """Run the range that is kept in PATH in this process: no Lithops, no workers, its output on this terminal.

    A run with options.keep_failed="FOLDER" writes its failed ranges there, and its error names the command. The files hold
    the graph as code: replay only what you or a colleague wrote.

    \b
    Example:
      rdf-lithops replay failed/1795570238-b2714d5cae10/range-3.json
    """
    envelope = replay.replay(path)
    ranges = ", ".join(map(str, envelope.range_ids))
    if as_json:
        facts = {"range_ids": list(envelope.range_ids), "entries": envelope.entries, "error": envelope.error}
        click.echo(json.dumps({**facts, "call_s": envelope.facts.get("call_s")}))
    if envelope.error is None:
        entries = "" if envelope.entries is None else f", {envelope.entries} entries"
        _options.say(f"range {ranges} ran without an error{entries}, {envelope.facts['call_s']:.2f} s")
        return
    if told := envelope.error.get("traceback") or envelope.error.get("log_tail"):
        click.echo(told, err=True)
    click.echo(f"range {ranges} failed: {envelope.error['message']}", err=True)
    context.exit(FAILED)
