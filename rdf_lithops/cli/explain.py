"""``rdf-lithops explain``: what an error means, why it comes, and what helps."""

from __future__ import annotations

import json
import re
from importlib import resources

import click

from . import _options

__all__ = ["command", "paragraphs"]


def paragraphs() -> dict[str, str]:
    """The paragraphs of ``troubleshooting.md`` by their headings, in order."""
    text = resources.files("rdf_lithops").joinpath("troubleshooting.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (\S+)$", text, flags=re.MULTILINE)[1:]
    return {topic: body.strip() for topic, body in zip(parts[::2], parts[1::2], strict=True)}


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [topic for topic in paragraphs() if topic.startswith(incomplete)]


@click.command("explain", short_help="Say what an error means, why it comes, and what helps.")
@click.argument("topic", required=False, shell_complete=_complete)
@_options.as_json
def command(topic: str | None, as_json: bool) -> None:
    """Say what an error means, why it comes, and what helps. The last line of each error names its TOPIC.

    Without TOPIC, list them all.

    \b
    Example:
      rdf-lithops explain lost-ranges
    """
    known = paragraphs()
    if topic is not None and topic not in known:
        raise click.BadParameter(f"no topic {topic!r}; there are: {', '.join(known)}")
    if as_json:
        click.echo(json.dumps(known if topic is None else {topic: known[topic]}))
    elif topic is None:
        for name, text in known.items():
            click.echo(f"{name:<20}{text.splitlines()[0]}")
    else:
        click.echo(known[topic])
