"""``rdf-lithops cache``: the instantiation libraries of this user, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

import click

from ..errors import PlanError
from ..worker.instantiations import build, library, noting
from . import CheckFailed, _options

__all__ = ["command"]


@click.group("cache", short_help="What RDataFrame was compiled into, once for all programs.")
def command() -> None:
    """Libraries of RDataFrame's templates, which new programs load instead of compiling them again.

    They are made by themselves, in the background, after the first program on a machine; they depend on ROOT and on the
    types of columns alone, not on cuts, names or files, and may be deleted at any time.

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
def build_() -> None:
    """Make the libraries that are missing, and wait for them: a minute for the first.

    \b
    Example:
      rdf-lithops cache build
    """
    place = _folder()
    if build.compiler() is None:
        raise PlanError("expected a C++ compiler on PATH (g++ or c++), found none: install g++")
    if not noting.is_left():
        click.echo("nothing is missing")
        return
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", build.__name__], stdin=subprocess.DEVNULL)
    if done.returncode:
        raise CheckFailed("the compiler failed; what it said is above")
    click.echo(f"{len(list(library.libraries(place)))} libraries in {place}")


@command.command("check", short_help="Load everything that is there.")
def check() -> None:
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
    click.echo(f"{len(there)} libraries load")


@command.command("clear", short_help="Remove all of it.")
def clear() -> None:
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
    click.echo(f"{sum(name.endswith('.so') for name in names)} libraries removed from {place}")


def _is_ours(name: str) -> bool:
    made = name.startswith((library.BASE, "learned-")) and name.endswith((".so", ".json", ".lock"))
    return made or name.startswith(noting.WANTED) or name in (build.GIVEN_UP, "build.log")
