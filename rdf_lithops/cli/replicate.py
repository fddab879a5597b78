"""``rdf-lithops replicate``: copy a dataset between stores, on the workers."""

from __future__ import annotations

import dataclasses
import json
import sys

import click
from tqdm import tqdm

from . import INTERRUPTED, _options, _run

__all__ = ["command"]


@click.command("replicate", short_help="Copy a dataset between stores, resumable and verified.")
@click.argument("sources", nargs=-1, metavar="SRC...")
@click.argument("target", metavar="DEST")
@click.option("--check", "only_check", is_flag=True, help="Copy nothing: read the copies in DEST back and compare.")
@click.option("--part-mib", type=click.FloatRange(min=5.0), default=32.0, show_default=True, help="Size of a part.")
@_options.config
@_options.as_json
def command(
    sources: tuple[str, ...], target: str, only_check: bool, part_mib: float, config: str | None, as_json: bool
) -> None:
    """Copy the files SRC (names and quoted patterns; paths, s3://, https:// or root://) into DEST (a folder, or s3://bucket/prefix).

    Parts of the files are copied by Lithops calls, side by side. Interrupted, the same command goes on where it was. In the
    end everything is read back and compared by SHA-256; DEST keeps a manifest.

    \b
    Examples:
      rdf-lithops replicate 's3://old/run1/*.root' s3://new/run1
      rdf-lithops replicate --check s3://new/run1
    """
    from ..executor import replication

    if not sources and not only_check:
        raise click.UsageError("expected SRC and DEST")
    with _run.executor(config) as executor, tqdm(unit="part", disable=not sys.stderr.isatty()) as bar:

        def shown(done: int, of: int) -> None:
            bar.total, bar.n = of, done
            bar.refresh()

        try:
            if only_check:
                files = replication.check(executor, target, shown)
            else:
                files = replication.replicate(executor, sources, target, int(part_mib * 2**20), shown)
        except KeyboardInterrupt:
            click.echo("interrupted: what has arrived is kept, and the same command goes on from there", err=True)
            click.get_current_context().exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps({"target": target, "files": [dataclasses.asdict(item) for item in files]}))
    _options.say(f"{len(files)} files, {sum(item.size for item in files):,} bytes in {target}, verified by SHA-256")
