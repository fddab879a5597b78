"""Options that several verbs take, so that they are spelt and explained in one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .. import demo

__all__ = ["as_json", "config", "files", "npartitions", "say", "tree"]

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

tree: _Decorator = click.option("--tree", default=demo.TREE, show_default=True, help="Name of the tree in each file.")
npartitions: _Decorator = click.option(
    "--npartitions", type=click.IntRange(min=1), help="Ranges to cut the dataset into.  [default: one per worker]"
)
config: _Decorator = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="A Lithops configuration file (YAML), which says where it runs and who pays.  [default: this machine]",
)
as_json: _Decorator = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document; what is for people goes to standard error.",
)


def files(required: bool, default: str = "") -> _Decorator:
    """``--files``, which may be given more than once; ``default`` says what is read without it."""
    return click.option(
        "--files",
        multiple=True,
        required=required,
        metavar="FILE",
        help="NanoAOD-like files: a path, a quoted glob or a URL; give it again for more." + default,
    )


def say(text: str) -> None:
    """Print a line for people: on standard error where the verb was asked for JSON."""
    click.echo(text, err=bool(click.get_current_context().params.get("as_json")))
