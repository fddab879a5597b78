"""``rdf-lithops cache``: the instantiation libraries of this user, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

import click

from ..compiled import build, library, noting
from ..errors import PlanError
from . import CheckFailed, _options

__all__ = ["command"]


@click.group("cache", short_help="What RDataFrame was compiled into, once for all programs.")
def command() -> None:
    """Libraries of RDataFrame's templates, which new programs load instead of compiling them again.

    They are made by themselves, in the background, after the first program on a machine; they depend on ROOT and on the
    types of columns alone, not on cuts, names or files, and may be deleted at any time. Workers elsewhere are sent them by
    way of Lithops' storage, where they stay below rdf_lithops/libraries/ for the next program, and may be deleted, too.

    \b
    Examples:
      rdf-lithops cache list
      rdf-lithops cache build
    """


def _folder() -> str:
    try:
        return library.folder()
    except library.LibraryRefused as refusal:
        raise PlanError(f"no instantiation library can be used: {refusal}") from None


@command.command("list", short_help="What is there.")
@_options.as_json
def list_(as_json: bool) -> None:
    """List the libraries for this ROOT, and how much graphs have asked for since.

    \b
    Example:
      rdf-lithops cache list
    """
    place = _folder()
    found = [_facts(known) for known in library.libraries(place)]
    waiting = len(build.wanted(place)[0])
    if as_json:
        click.echo(json.dumps({"folder": place, "libraries": found, "wanted": waiting}))
        return
    click.echo(place)
    for facts in found:
        click.echo("{name:28} {lines:5} instantiations {kib:7} KiB, compiled in {seconds} s".format(**facts))
    click.echo(f"{len(found)} libraries; {waiting} instantiations to be compiled (rdf-lithops cache build)")


def _facts(known: library.Library) -> dict[str, Any]:
    kib = os.path.getsize(known.path) // 1024
    return {
        "name": os.path.basename(known.path),
        "lines": len(known.lines),
        "kib": kib,
        "seconds": known.made.get("seconds"),
    }


@command.command("build", short_help="Make now what is missing.")
@_options.as_json
def build_(as_json: bool) -> None:
    """Make the libraries that are missing, and wait for them: a minute for the first.

    \b
    Example:
      rdf-lithops cache build
    """
    place = _folder()
    if build.compiler() is None:
        raise PlanError("expected a C++ compiler on PATH (g++ or c++), found none: install g++")
    if noting.is_left():
        done = subprocess.run([sys.executable, "-W", "ignore", "-m", build.__name__], stdin=subprocess.DEVNULL)
        if done.returncode:
            raise CheckFailed("the compiler failed; what it said is above")
    _say(as_json, "libraries", len(list(library.libraries(place))), place, "{} libraries in {}")


def _say(as_json: bool, what: str, count: int, place: str, text: str) -> None:
    click.echo(json.dumps({"folder": place, what: count}) if as_json else text.format(count, place))


@command.command("check", short_help="Load everything that is there.")
@_options.as_json
def check(as_json: bool) -> None:
    """Load every library in a process of its own, as a worker would. Ends with status 3 if one cannot be used.

    \b
    Example:
      rdf-lithops cache check
    """
    place = _folder()
    there = [name for name in sorted(os.listdir(place)) if name.endswith(".so")]
    program = f"from {library.__name__} import load_all; load_all()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    refused = [line for line in done.stderr.splitlines() if "instantiation library" in line]
    if done.returncode or refused:
        raise CheckFailed("\n".join(refused) or done.stderr)
    _say(as_json, "loaded", len(there), place, "{} libraries of {} load")


@command.command("clear", short_help="Remove all of it.")
@_options.as_json
def clear(as_json: bool) -> None:
    """Remove the libraries for this ROOT; the next program compiles for itself, and they are made again.

    \b
    Example:
      rdf-lithops cache clear
    """
    place = _folder()
    names = [name for name in os.listdir(place) if _is_ours(name)]
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(place, name))
    _say(as_json, "removed", sum(name.endswith(".so") for name in names), place, "{} libraries removed from {}")


def _is_ours(name: str) -> bool:
    made = name.startswith((library.BASE, "learned-")) and name.endswith((".so", ".json", ".lock"))
    return made or name.startswith(noting.WANTED) or name in (build.GIVEN_UP, "build.log")
