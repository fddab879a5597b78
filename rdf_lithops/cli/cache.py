"""``rdf-lithops cache``: the instantiation libraries of this user, on this machine and in a storage."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import click

from ..compiled import build, library, noting
from ..errors import PlanError
from ..executor import library_store
from . import CheckFailed, _options, _run

__all__ = ["command"]


@click.group("cache", short_help="What RDataFrame was compiled into, once for all programs.")
def command() -> None:
    """Libraries of RDataFrame's templates, which new programs load instead of compiling them again.

    They are made by themselves, in the background, after the first program on a machine; they depend on ROOT and on the
    types of columns alone, not on cuts, names or files, and may be deleted at any time. Workers elsewhere are sent them by
    way of Lithops' storage, where they stay below rdf_lithops/libraries/ for the next program: --config says which storage,
    and then each verb is about what lies there.

    \b
    Examples:
      rdf-lithops cache list
      rdf-lithops cache build
      rdf-lithops cache clear --config my_cloud.yaml
    """


_storage = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="A Lithops configuration file (YAML): what lies in its storage.  [default: what lies on this machine]",
)


def _shown(storage: Any) -> str:
    return f"{storage.bucket}/{library_store.LIBRARIES_PREFIX}"


def _each(stored: library_store.Stored) -> str:
    return f"{stored.name or stored.key:28} {stored.lines:5} instantiations {stored.kib:7} KiB  {stored.wrong}".rstrip()


def _folder() -> str:
    try:
        return library.folder()
    except library.LibraryRefused as refusal:
        raise PlanError(f"no instantiation library can be used: {refusal}") from None


@command.command("list", short_help="What is there.")
@_storage
@_options.as_json
def list_(config: str | None, as_json: bool) -> None:
    """List the libraries for this ROOT, and how much graphs have asked for since; or those in a storage.

    \b
    Examples:
      rdf-lithops cache list
      rdf-lithops cache list --config my_cloud.yaml
    """
    if config is not None:
        _list_stored(_run.storage(config), as_json)
        return
    folder = _folder()
    found = [_facts(known) for known in library.libraries(folder)]
    waiting = len(build.wanted(folder)[0])
    if as_json:
        click.echo(json.dumps({"folder": folder, "libraries": found, "wanted": waiting}))
        return
    click.echo(folder)
    for facts in found:
        click.echo("{name:28} {lines:5} instantiations {kib:7} KiB, compiled in {seconds} s".format(**facts))
    click.echo(f"{len(found)} libraries; {waiting} instantiations to be compiled (rdf-lithops cache build)")


def _list_stored(storage: Any, as_json: bool) -> None:
    there = list(library_store.stored(storage))
    if as_json:
        click.echo(json.dumps({"folder": _shown(storage), "libraries": [dataclasses.asdict(each) for each in there]}))
        return
    click.echo(_shown(storage))
    for each in there:
        click.echo(_each(each))
    click.echo(
        f"{len(there)} libraries, {sum(each.kib for each in there)} KiB (rdf-lithops cache clear --config removes them)"
    )


def _facts(known: library.Library) -> dict[str, Any]:
    kib = os.path.getsize(known.path) // 1024
    return {
        "name": os.path.basename(known.path),
        "lines": len(known.lines),
        "kib": kib,
        "seconds": known.made.get("seconds"),
    }


@command.command("build", short_help="Make now what is missing.")
@_storage
@_options.as_json
def build_(config: str | None, as_json: bool) -> None:
    """Make the libraries that are missing, and wait for them: a minute for the first. With --config they are put into that
    storage as well, so that the first run there need not do it.

    \b
    Examples:
      rdf-lithops cache build
      rdf-lithops cache build --config my_cloud.yaml
    """
    folder = _folder()
    if build.compiler() is None:
        raise PlanError("expected a C++ compiler on PATH (g++ or c++), found none: install g++")
    if noting.is_left():
        done = subprocess.run([sys.executable, "-W", "ignore", "-m", build.__name__], stdin=subprocess.DEVNULL)
        if done.returncode:
            raise CheckFailed("the compiler failed; what it said is above")
    if config is not None:
        storage = _run.storage(config)
        _say(as_json, "libraries", library_store.put(storage, folder), _shown(storage), "{} libraries in {}")
        return
    _say(as_json, "libraries", len(list(library.libraries(folder))), folder, "{} libraries in {}")


def _say(as_json: bool, what: str, count: int, folder: str, text: str) -> None:
    click.echo(json.dumps({"folder": folder, what: count}) if as_json else text.format(count, folder))


@command.command("check", short_help="Load everything that is there.")
@_storage
@_options.as_json
def check(config: str | None, as_json: bool) -> None:
    """Load every library in a process of its own, as a worker would; fetch each from a storage, and look whether it is
    whole. Ends with status 3 if one cannot be used.

    \b
    Examples:
      rdf-lithops cache check
      rdf-lithops cache check --config my_cloud.yaml
    """
    if config is not None:
        storage = _run.storage(config)
        found = list(library_store.stored(storage))
        if any(each.wrong for each in found):
            raise CheckFailed("\n".join(f"{each.key}: {each.wrong}" for each in found if each.wrong))
        _say(as_json, "whole", len(found), _shown(storage), "{} libraries in {} are whole")
        return
    folder = _folder()
    there = [name for name in sorted(os.listdir(folder)) if name.endswith(".so")]
    program = f"from {library.__name__} import load_all; load_all()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    refused = [line for line in done.stderr.splitlines() if "instantiation library" in line]
    if done.returncode or refused:
        raise CheckFailed("\n".join(refused) or done.stderr)
    _say(as_json, "loaded", len(there), folder, "{} libraries of {} load")


@command.command("clear", short_help="Remove all of it.")
@_storage
@_options.as_json
def clear(config: str | None, as_json: bool) -> None:
    """Remove the libraries for this ROOT; the next program compiles for itself, and they are made again. With --config
    those in that storage, of all users and ROOTs: the next run puts its own there.

    \b
    Examples:
      rdf-lithops cache clear
      rdf-lithops cache clear --config my_cloud.yaml
    """
    if config is not None:
        storage = _run.storage(config)
        _say(as_json, "removed", library_store.remove_stored(storage), _shown(storage), "{} libraries removed from {}")
        return
    folder = _folder()
    names = [name for name in os.listdir(folder) if _is_ours(name)]
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
    _say(as_json, "removed", sum(name.endswith(".so") for name in names), folder, "{} libraries removed from {}")


def _is_ours(name: str) -> bool:
    made = name.startswith((library.BASE, "learned-")) and name.endswith((".so", ".json", ".lock"))
    return made or name.startswith(noting.WANTED) or name in (build.GIVEN_UP, "build.log")
