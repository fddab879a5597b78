"""``rdf-lithops resume``: runs whose driver was killed, and whose work the same program takes up."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..errors import PlanError
from . import CheckFailed, _options, _run

__all__ = ["command"]


@click.command("resume", short_help="List runs that the same program, started again, takes up; start it.")
@click.argument("run", required=False)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.option("--dead", is_flag=True, help="The driver of RUN, which ran on another machine, does not live any more.")
@_options.config
@_options.as_json
def command(run: str | None, program: Sequence[str], dead: bool, config: str | None, as_json: bool) -> None:
    """List runs whose driver was killed, or one RUN: its age, what it has, how it goes on.

    With PROGRAM, after two dashes, start that: the query that is the same as RUN takes up the partials that are there, and
    computes the rest. It must be started as it was before, with the same arguments and environment; what is not the same is
    an error that names it. What nobody takes up is removed by rdf-lithops gc.

    \b
    Examples:
      rdf-lithops resume
      rdf-lithops resume 1795000000-0123456789ab -- python analysis.py --year 2018
      rdf-lithops resume --config my_cloud.yaml
    """
    known = _known(config)
    if run is not None:
        known = [each for each in known if _number(each["name"]) == _number(run)]
        if not known:
            what = f"there is no run {_number(run)} that could be taken up: rdf-lithops resume lists those that can"
            hint = "" if _number(run)[:1].isdigit() else "; its number stands before the dashes: resume RUN -- PROGRAM"
            raise PlanError(f"{what}{hint}")
    if program:
        _start(known[0], program, dead, config)
        return
    if as_json:
        click.echo(json.dumps({"runs": known}))
        return
    for each in known:
        click.echo(_told(each))
    click.echo(f"{len(known)} found" + ("; rdf-lithops gc --remove --older-than 0 removes them" if known else ""))


def _known(config: str | None) -> list[dict[str, Any]]:
    with _run.executor(config) as executor:
        from ..executor import leftovers, resuming
        from ..executor.run_folders import lithops_folders

        storage, folders = executor.storage, lithops_folders(executor)
        found = [resuming.resumable(storage, folders, run) for run in leftovers.runs(storage)]
    return [each for each in found if each is not None]


def _start(run: dict[str, Any], program: Sequence[str], dead: bool, config: str | None) -> None:
    """Run the program, with its exit code; it is an error if it did not take the run up."""
    from ..executor import asked_for

    number = _number(run["name"])
    if run["host"] and not dead:
        raise PlanError(f"run {number} was begun on {run['host']}: if its driver does not live any more, say so with --dead")
    asked = {asked_for.VARIABLE: number, **({asked_for.DEAD_VARIABLE: "1"} if dead else {})}
    words = [sys.executable, *program] if program[0].endswith(".py") else list(program)
    try:
        status = subprocess.run(words, env={**os.environ, **asked}, check=False).returncode
    except OSError as error:
        raise PlanError(f"{shlex.join(program)} cannot be started: {error}") from error
    if status:
        sys.exit(status if status > 0 else 128 - status)
    if any(_number(each["name"]) == number for each in _known(config)):
        raise CheckFailed(
            f"{shlex.join(program)} has run, and no query of it was the same as run {number}, which is still there"
        )


def _number(name: str) -> str:
    return name.removeprefix("run ").strip()


def _told(run: dict[str, Any]) -> str:
    has = f"{run['partials']} of {run['calls']} partials, {run['bytes'] / 2**20:.1f} MiB"
    script, number = run["script"], _number(run["name"])
    how = f"cd {shlex.quote(run['folder'])} && python {shlex.quote(os.path.relpath(script, run['folder']))}"
    again = f"{how}  (with the arguments that it had)" if script.endswith(".py") else f"what ran in {run['folder']}"
    where = f" on {run['host']}, if its driver does not live any more," if run["host"] else ""
    dead = " --dead" if run["host"] else ""
    return (
        f"run {number}, {run['age_s'] / 60:.0f} minutes old:{where} {has}\n  start again: {again}\n"
        f"  so that it must go on: rdf-lithops resume{dead} {number} -- PROGRAM"
    )
