"""``rdf-lithops resume``: runs whose driver was killed, and whose work the same program takes up."""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

import click

from . import _options, _run

__all__ = ["command"]


@click.command("resume", short_help="List runs that the same program, started again, takes up.")
@_options.config
@_options.as_json
def command(config: str | None, as_json: bool) -> None:
    """List runs with options.resume whose driver was killed on this machine: their age, what they have, how they go on.

    A program is started again as it was started before, with the same arguments and environment; it then takes up the
    partials of its run, and computes the rest. What nobody takes up is removed by rdf-lithops gc.

    \b
    Examples:
      rdf-lithops resume
      rdf-lithops resume --config my_cloud.yaml
    """
    with _run.executor(config) as executor:
        from ..executor import leftovers, resuming
        from ..executor.run_folders import lithops_folders

        storage = executor.storage
        found = leftovers.find(storage, lithops_folders(executor), 0.0)
        known = [each for each in (resuming.resumable(storage, run) for run in found) if each is not None]
    if as_json:
        click.echo(json.dumps({"runs": known}))
        return
    for each in known:
        click.echo(_told(each))
    click.echo(f"{len(known)} found" + ("; rdf-lithops gc --remove --older-than 0 removes them" if known else ""))


def _told(run: dict[str, Any]) -> str:
    has = f"{run['partials']} of {run['calls']} partials, {run['bytes'] / 2**20:.1f} MiB"
    script = run["script"]
    how = f"cd {shlex.quote(run['folder'])} && python {shlex.quote(os.path.relpath(script, run['folder']))}"
    again = f"{how}  (with the arguments that it had)" if script.endswith(".py") else f"what ran in {run['folder']}"
    return f"{run['name']}, {run['age_s'] / 60:.0f} minutes old: {has}\n  start again: {again}"
