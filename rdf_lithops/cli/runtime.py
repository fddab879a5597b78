"""``rdf-lithops runtime``: build, deploy, try and weigh the workers' image."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from ..deployment import price_list, runtime
from . import CheckFailed, _options

__all__ = ["command"]

_image = click.argument("image")


@click.group("runtime", short_help="Build, deploy, try and weigh the workers' image.")
def command() -> None:
    """The workers' image: ROOT, Lithops and this package, for any backend that runs containers.

    \b
      rdf-lithops runtime build --config my_cloud.yaml
      rdf-lithops runtime deploy --config my_cloud.yaml
      rdf-lithops runtime smoke IMAGE
    """


@command.command("build", context_settings={"ignore_unknown_options": True})
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="Build for the backend of this Lithops configuration, push to its registry, and write the image's new name "
    "into the file.  [default: build on this machine only]",
)
@click.option("--name", default="rdf_lithops", show_default=True, help="The image's name, without a tag.")
@click.option(
    "--target",
    type=click.Choice(["lambda", "generic", "local"]),
    help="[default: what the backend needs; else lambda]",
)
@click.option("--base", default=runtime.DEFAULT_BASE, show_default=True, help="The image to start from.")
@click.option("--root-from", type=click.Choice(["wheel", "conda", "tarball"]), default="wheel", show_default=True)
@click.option("--whole", is_flag=True, help="Leave in what RDataFrame never loads (RooFit, graphics, documentation).")
@_options.as_json
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def build_command(
    config: str | None,
    name: str,
    target: str | None,
    base: str,
    root_from: str,
    whole: bool,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Build the image; its tag is made of its contents. OPTIONS, after --, go to docker or podman build."""
    sections = _sections(config) if config else {}
    backend = sections["lithops"]["backend"] if config else ""
    chosen = target or runtime.TARGETS.get(backend, "generic" if config else "lambda")
    recipe = runtime.Recipe(chosen, base, root_from, not whole, options)
    if config:
        configured = sections[backend].get("runtime", name)
        name = configured.rpartition(":")[0] or configured
    pushed = config if backend != "localhost" else None  # Lithops builds nothing for this machine
    image = runtime.build(recipe, name, pushed)
    if config:
        runtime.write_tag(config, backend, image)
    click.echo(json.dumps({"image": image, "target": chosen}) if as_json else image)


@command.command("deploy")
@click.option(
    "--config", required=True, type=click.Path(exists=True, dir_okay=False), help="A Lithops configuration file (YAML)."
)
@_options.as_json
def deploy_command(config: str, as_json: bool) -> None:
    """Deploy the image that the configuration names, anew if its settings have changed since."""
    from lithops.config import default_config, extract_serverless_config, extract_storage_config
    from lithops.serverless import ServerlessHandler
    from lithops.storage import InternalStorage

    settings = default_config(config_file=config)
    section = settings[settings["lithops"]["backend"]]
    storage = InternalStorage(extract_storage_config(settings))
    handler = ServerlessHandler(extract_serverless_config(settings), storage)
    changed = list(runtime.deploy(config, handler, storage, section))
    for line in changed:
        _options.say(f"changed  {line}")
    _options.say(f"deployed {section['runtime']}")
    if prices := price_list.fetched(handler.backend, section):
        _options.say(prices)
    if as_json:
        click.echo(json.dumps({"deployed": section["runtime"], "changed": changed}))


@command.command("smoke")
@_image
@_options.as_json
def smoke_command(image: str, as_json: bool) -> None:
    """Try IMAGE: compilation, a histogram, a Snapshot, XRootD, the driver's versions; without network, read-only."""
    outcome = runtime.smoke(image)
    if as_json:
        click.echo(json.dumps(outcome))
    else:
        for line in runtime.describe(outcome):
            click.echo(line)
    wrong = [name for name, result in outcome["checks"].items() if result != "ok"]
    if wrong:
        raise CheckFailed(f"{image} fails {', '.join(wrong)}")


@command.command("size")
@_image
@click.option("--files", is_flag=True, help="List the files of which a cold start reads most.")
@_options.as_json
def size_command(image: str, files: bool, as_json: bool) -> None:
    """Weigh IMAGE: unpacked, compressed, and what a cold start reads from disk."""
    size = runtime.weigh(image)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(size)))
        return
    click.echo(f"unpacked    {size.bytes / 1e6:8.1f} MB")
    click.echo(f"compressed  {size.compressed_bytes / 1e6:8.1f} MB")
    if size.touched_bytes is None:
        click.echo(f"cold start  not measured: {size.why}")
        return
    click.echo(f"cold start  {size.touched_bytes / 1e6:8.1f} MB read, of {size.touched_files} files")
    for name, bytes_read in size.largest if files else ():
        click.echo(f"  {bytes_read / 1e6:8.1f} MB  {name}")


def _sections(config: str) -> dict[str, Any]:
    """The sections of a Lithops configuration file, as written."""
    import yaml

    with open(config) as stream:
        found: dict[str, Any] = yaml.safe_load(stream)
    return found
