"""``rdf-lithops auth``: the credentials that workers would be given."""

from __future__ import annotations

from datetime import datetime, timezone

import click

from .. import credentials
from ..errors import CredentialsError

__all__ = ["command"]


@click.group("auth", short_help="The credentials that workers would be given.")
def command() -> None:
    """Which credentials data access would use. They are found on this machine, sealed, and given to the workers of a run.

    \b
    Example:
      rdf-lithops auth status root://eospublic.cern.ch//eos/file.root
    """


@command.command("status", short_help="What would be used, whose it is, and until when.")
@click.argument("urls", nargs=-1, metavar="[URL]...")
def status(urls: tuple[str, ...]) -> None:
    """Say which credentials were found, whose they are, and until when they are good.

    With URLs, only the kinds that their servers may ask for. Shows no secret. Ends with status 1 if none can be used.

    \b
    Examples:
      rdf-lithops auth status
      rdf-lithops auth status root://eospublic.cern.ch//eos/file.root s3://bucket/skim
    """
    kinds = credentials.kinds_for(urls) if urls else credentials.KINDS
    found = {item.kind: item for item in credentials.find(kinds)}
    now = datetime.now(timezone.utc)
    for kind in kinds:
        click.echo(credentials.describe(kind, found.get(kind), now))
    if urls and not kinds:
        click.echo("no credential is needed for these URLs")
    elif not any(credentials.is_usable(item, now) for item in found.values()):
        raise CredentialsError("no credential can be used")
