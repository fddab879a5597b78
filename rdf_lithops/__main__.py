"""The command line: ``rdf-lithops``, or ``python -m rdf_lithops``."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from . import __version__, demo
from .errors import PlanError, RdfLithopsError
from .planning import Options

__all__ = ["LOCALHOST", "main"]

# What configs/localhost.yaml says, for an installed package that came without it; each line's reason is there.
LOCALHOST: dict[str, dict[str, Any]] = {
    "lithops": {
        "backend": "localhost",
        "storage": "localhost",
        "data_cleaner": False,
        "data_limit": False,
        "log_level": "WARNING",
    },
    "localhost": {"version": 1},
}

_tree = click.option("--tree", default=demo.TREE, show_default=True, help="Name of the tree in each file.")
_npartitions = click.option(
    "--npartitions", type=click.IntRange(min=1), help="Ranges to cut the dataset into.  [default: one per worker]"
)
_config = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="A Lithops configuration file (YAML), which says where it runs and who pays.  [default: this machine]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="rdf-lithops")
def main() -> None:
    """ROOT RDataFrame analyses on any compute that Lithops reaches, with the answer of one core.

    Start with `rdf-lithops demo`: it needs nothing but this machine.
    """
    # Two Lithops programs of one user otherwise delete each other's copy of the package. Workers inherit it.
    os.environ["PYTHONSAFEPATH"] = "1"


@main.command("demo", short_help="Plot the dimuon mass spectrum through Lithops and on one core.")
@_tree
@click.option(
    "--files",
    multiple=True,
    metavar="FILE",
    help="Your own NanoAOD-like files: a path, a quoted glob or a URL; give it again for more.  [default: a sample]",
)
@click.option(
    "--events",
    type=click.IntRange(min=4),
    default=1_000_000,
    show_default=True,
    help="Size of the sample that is made when there are no --files.",
)
@click.option("--folder", default="demo", show_default=True, help="Where the sample is kept, and found again.")
@_npartitions
@_config
@click.option("--output", default="dimuon.png", show_default=True, help="The picture; its ending says the format.")
@click.option("--no-local", is_flag=True, help="Do not repeat the analysis without Lithops and compare.")
def demo_command(
    tree: str,
    files: tuple[str, ...],
    events: int,
    folder: str,
    npartitions: int | None,
    config: str | None,
    output: str,
    no_local: bool,
) -> None:
    """Plot the dimuon mass spectrum through Lithops, and compare it with one core.

    Makes a sample of simulated dimuon events (once: it is kept in --folder), runs the spectrum through Lithops, draws
    it, prints the cut flow and the times, and checks that plain RDataFrame gives the same entries, cut flow and bins.
    Ends with status 1 if it does not.

    \b
    Examples:
      rdf-lithops demo
      rdf-lithops demo --files 'nano/*.root' --npartitions 8
      rdf-lithops demo --config my_cloud.yaml --files root://host//path/file.root --no-local
    """
    with _errors_shown():
        _check_output(output)
        paths = _input(tree, files or _sample(folder, events))
        first = _run_on_lithops(tree, paths, npartitions, config)
        _show_result(first, output)
        if not no_local:
            _compare(first, tree, paths)


@main.command("plan", short_help="Print the calls that the spectrum would make; make none.")
@_tree
@click.option(
    "--files",
    multiple=True,
    required=True,
    metavar="FILE",
    help="NanoAOD-like files: a path, a quoted glob or a URL; give it again for more.",
)
@_npartitions
@_config
def plan_command(tree: str, files: tuple[str, ...], npartitions: int | None, config: str | None) -> None:
    """Print the calls that the dimuon spectrum would make, and make none of them.

    \b
    Example:
      rdf-lithops plan --files 'nano/*.root' --npartitions 100 --config my_cloud.yaml
    """
    with _errors_shown():
        paths = _input(tree, files)
        from . import plan

        with _executor(config) as executor:
            histogram, _ = demo.spectrum(_frame(executor, tree, paths, npartitions))
            click.echo(plan(histogram))


# -- the steps --------------------------------------------------------------------------------------------------------


@contextmanager
def _errors_shown() -> Iterator[None]:
    """An error of ours, or a missing ROOT, becomes a message and status 1, not a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "ROOT":
            raise
        raise click.ClickException("there is no ROOT in this Python; pip install 'rdf_lithops[root]'") from error
    except RdfLithopsError as error:
        raise click.ClickException(str(error)) from error


def _check_output(path: str) -> None:
    """Before anything is paid: a picture that cannot be written should not cost a run."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise PlanError(f"expected a folder to write the picture to, got {folder}")
    if not path.endswith((".png", ".pdf", ".svg", ".eps", ".jpg")):
        raise PlanError(f"expected a picture's name that ends in .png, .pdf, .svg, .eps or .jpg, got {path}")


def _input(tree: str, files: Sequence[str]) -> list[str]:
    paths = demo.expand(files)
    demo.check_input(tree, paths)
    click.echo(f"input    {len(paths)} file{'s' if len(paths) > 1 else ''}, tree {tree}")
    return paths


def _sample(folder: str, events: int) -> list[str]:
    click.echo(f"sample   {events:,} simulated events in {folder}{os.sep} (made once, then kept)")
    return demo.make_sample(folder, events=events)


@contextmanager
def _executor(config: str | None) -> Iterator[Any]:
    """A Lithops executor of the configuration file, or of this machine."""
    import lithops

    try:
        executor = lithops.FunctionExecutor(**({"config_file": config} if config else {"config": copy.deepcopy(LOCALHOST)}))
    except Exception as error:  # Lithops raises plain Exception for what it does not like in a file
        raise PlanError(f"Lithops does not accept {config or 'the configuration'}: {error}") from error
    with executor:
        yield executor


def _frame(executor: Any, tree: str, paths: list[str], npartitions: int | None) -> Any:
    import ROOT

    options = Options(progress=True)
    return ROOT.RDataFrame(tree, paths, executor=executor, npartitions=npartitions, options=options)


def _run_on_lithops(tree: str, paths: list[str], npartitions: int | None, config: str | None) -> demo.Measured:
    """Run the spectrum twice: the first query starts ROOT on the workers and compiles, the second finds both done."""
    with _executor(config) as executor:
        backend = executor.config["lithops"]["backend"]
        click.echo(f"lithops  the dimuon spectrum on {backend}, twice: the first query also starts ROOT and compiles")
        first = demo.measure(lambda: _frame(executor, tree, paths, npartitions))
        second = demo.measure(lambda: _frame(executor, tree, paths, npartitions))
    click.echo(f"time     first query {first.wall_s:.2f} s, the same again {second.wall_s:.2f} s")
    _require_equal(first, second, "the second query")
    return first


def _show_result(measured: demo.Measured, output: str) -> None:
    demo.save_plot(measured.histogram, output)
    click.echo(f"picture  {os.path.abspath(output)}\n\n{demo.cut_flow_table(measured.cuts)}\n")
    click.echo(f"entries  {measured.entries} through Lithops")


def _compare(first: demo.Measured, tree: str, paths: list[str]) -> None:
    import ROOT

    local = demo.measure(lambda: ROOT.RDataFrame(tree, paths))
    click.echo(f"entries  {local.entries} with local RDataFrame, one core, in {local.wall_s:.2f} s")
    _require_equal(first, local, "local RDataFrame")
    click.echo(f"equal    entries, cut flow and all {local.histogram.GetNbinsX()} bins")


def _require_equal(first: demo.Measured, other: demo.Measured, what: str) -> None:
    found = demo.differences(first, other)
    if found:
        raise click.ClickException(f"Lithops' first query and {what} differ in " + "; ".join(found))


if __name__ == "__main__":
    main(prog_name="rdf-lithops")
