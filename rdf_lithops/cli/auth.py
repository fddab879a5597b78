"""``rdf-lithops auth``: the credentials that workers would be given."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import click

from ..dataset import credentials
from ..errors import CredentialsError
from ..options import CREDENTIAL_KINDS
from . import _options

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
@_options.as_json
def status(urls: tuple[str, ...], as_json: bool) -> None:
    """Say which credentials were found, whose they are, and until when they are good.

    With URLs, only the kinds that their servers may ask for. Shows no secret. Ends with status 1 if none can be used.

    \b
    Examples:
      rdf-lithops auth status
      rdf-lithops auth status root://eospublic.cern.ch//eos/file.root s3://bucket/skim
    """
    kinds = credentials.kinds_for(urls) if urls else CREDENTIAL_KINDS
    found = {item.kind: item for item in credentials.find(kinds)}
    now = datetime.now(timezone.utc)
    if as_json:
        click.echo(json.dumps([_facts(kind, found.get(kind), now) for kind in kinds]))
    for kind in kinds:
        _options.say(credentials.describe(kind, found.get(kind), now))
    if urls and not kinds:
        _options.say("no credential is needed for these URLs")
    elif not any(credentials.is_usable(item, now) for item in found.values()):
        raise CredentialsError("no credential can be used")


def _facts(kind: str, found: credentials.Credential | None, now: datetime) -> dict[str, Any]:
    """What is printed of a kind, for machines; no secret."""
    if found is None:
        return {"kind": kind, "usable": False, "source": None, "holder": None, "expires": None, "trouble": None}
    expires = None if found.expires is None else found.expires.isoformat()
    facts = {"source": found.source, "holder": found.holder, "expires": expires, "trouble": found.trouble}
    return {"kind": kind, "usable": credentials.is_usable(found, now), **facts}
