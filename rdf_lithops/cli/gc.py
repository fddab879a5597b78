"""``rdf-lithops gc``: what runs left behind whose driver was killed."""

from __future__ import annotations

import json

import click

from ..executor import leftovers
from . import _options, _run

__all__ = ["command"]

HOUR_S = 3600.0


@click.command("gc", short_help="List, or remove, what killed drivers left behind.")
@_options.config
@click.option(
    "--older-than",
    "older_than_hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How old it must be. Runs of other machines are told from living ones by their age alone.",
)
@click.option("--remove", is_flag=True, help="Delete it, too.")
@_options.as_json
def command(config: str | None, older_than_hours: float, remove: bool, as_json: bool) -> None:
    """List what runs left in Lithops' storage and on this machine because their driver was killed; --remove deletes it.

    A run that ends, fails or is interrupted leaves nothing. Runs that still go on, and whatever else lies beside them, are
    not touched.

    \b
    Examples:
      rdf-lithops gc
      rdf-lithops gc --older-than 0 --remove --config my_cloud.yaml
    """
    with _run.executor(config) as executor:
        from ..executor.run_folders import lithops_folders

        storage = executor.storage
        found = leftovers.find(storage, lithops_folders(executor), older_than_hours * HOUR_S)
        if remove:
            from ..dataset.snapshots import tidy

            leftovers.remove(storage, found, tidy)
    if as_json:
        plain = [
            {
                "name": each.name,
                "age_s": each.age_s,
                "objects": len(each.keys),
                "paths": each.paths,
                "resumable": each.resumes is not None,
            }
            for each in found
        ]
        click.echo(json.dumps({"leftovers": plain, "removed": remove}))
        return
    for each in found:
        again = "  can be taken up: rdf-lithops resume" if each.resumes is not None and not remove else ""
        click.echo(
            f"{each.name:40} {each.age_s / HOUR_S:8.1f} h {len(each.keys):6} objects {len(each.paths):4} paths{again}"
        )
    click.echo(f"{len(found)} found" + (" and removed" if remove and found else ""))
