"""The workers' image: build it, deploy it, try it, weigh it. Wraps Lithops' own runtime commands and the container tool.

    recipe (runtime/) + wheels + this package ──> build context ──digest──> name:TAG ──Lithops──> registry ──> functions

The tag is made of the contents, because Lithops deploys nothing anew under a name that it knows: a changed image has another
name. What is in a build context is all that a build reads, so the same contents give the same tag.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _version
from ..errors import RuntimeImageError
from ..planning.limits import wants_snapstart
from ..worker.root import smoke as smoke_test
from . import snapstart

__all__ = ["Recipe", "Size", "build", "deploy", "differences", "smoke", "touched", "weigh"]

RECIPE = Path(__file__).resolve().parents[2] / "runtime"
DEFAULT_BASE = "docker.io/library/debian:bookworm-slim"
TAG_LENGTH = 12
TARGETS = {"aws_lambda": "lambda", "localhost": "local"}  # Lithops backend: stage of the recipe; generic for all others
# What Lambda grants, or less: no network, nothing to write to but /tmp.
CONFINED = ("--network", "none", "--read-only", "--tmpfs", "/tmp:size=512m,mode=1777", "--memory", "1024m")
SMOKE_LIMIT_S = 300
BUILD_LIMIT_S = 3600


@dataclass(frozen=True)
class Recipe:
    """What to build: the ``target`` stage (``lambda``, ``generic`` or ``local``) on ``base``, with ROOT from ``root_from``.

    ``root_from``: ``wheel``, ``conda`` or ``tarball`` (see runtime/install_root.sh); ``slim`` takes out what RDataFrame
    never loads; ``options`` go to the container tool's build as they are.
    """

    target: str = "lambda"
    base: str = DEFAULT_BASE
    root_from: str = "wheel"
    slim: bool = True
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The recipe's arguments, as the container tool takes them."""
        values = {"BASE": self.base, "ROOT_FROM": self.root_from, "SLIM": "yes" if self.slim else "no"}
        given = [f"--build-arg={name}={value}" for name, value in values.items()]
        return [*given, f"--target={self.target}", *self.options]


@functools.lru_cache(maxsize=1)
def tool() -> str:
    """The container tool: $CONTAINER_TOOL, docker where its daemon answers, or podman."""
    chosen = os.environ.get("CONTAINER_TOOL", "")
    for name in [chosen] if chosen else ["docker", "podman"]:
        found = shutil.which(name)
        if found and subprocess.run([found, "info"], capture_output=True, timeout=60, check=False).returncode == 0:
            return found
    raise RuntimeImageError("neither docker nor podman works here", next_command="apt-get install podman buildah runc")


def _run(command: Sequence[str], cwd: Path | None = None, limit_s: float = BUILD_LIMIT_S, quiet: bool = True) -> str:
    """What ``command`` prints; RuntimeImageError with the end of it if it fails. Without ``quiet`` it prints by itself."""
    output = subprocess.PIPE if quiet else None
    try:
        done = subprocess.run(command, cwd=cwd, stdout=output, stderr=output, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeImageError(f"{_shown(command)} takes longer than {limit_s:.0f} s") from error
    if done.returncode != 0:
        tail = ((done.stdout or "") + (done.stderr or ""))[-3000:]
        raise RuntimeImageError(f"{_shown(command)} ended with status {done.returncode}", log_tail=tail)
    return done.stdout or ""


def _shown(command: Sequence[str]) -> str:
    return " ".join(os.path.basename(word) if i == 0 else word for i, word in enumerate(command[:4]))


# -- build ------------------------------------------------------------------------------------------------------------


@contextmanager
def build_context(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    """A folder with all that a build reads, for the length of a block, and the tag made of its contents."""
    if not (RECIPE / "Dockerfile").is_file():
        raise RuntimeImageError(f"there is no recipe in {RECIPE}", next_command="run it from a checkout of rdf_lithops")
    with tempfile.TemporaryDirectory(prefix="rdf_lithops-image-") as name:
        folder = Path(name)
        for source in sorted(RECIPE.iterdir()):
            if source.is_file():
                shutil.copy(source, folder)
        for part in ("wheels", "generic"):
            (folder / part).mkdir()
            (folder / part / "README").write_text("Filled by rdf-lithops runtime build.\n")
        _copy_package(folder / "package")
        _download(folder / "requirements.txt", folder / "wheels")
        if recipe.target != "lambda":
            _download(folder / "requirements-generic.txt", folder / "generic")
        yield folder, _digest(folder, recipe)


def _copy_package(destination: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.md")
    shutil.copytree(Path(__file__).parent.parent, destination / "rdf_lithops", ignore=ignored)


def _download(requirements: Path, destination: Path) -> None:
    """Fetch the pinned wheels here: the build needs no package index, and its contents can be named."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--pre"]
    _run([*pip, "--only-binary=:all:", "--dest", str(destination), "--requirement", str(requirements)])


def _digest(folder: Path, recipe: Recipe) -> str:
    digest = hashlib.sha256(json.dumps([recipe.target, recipe.base, recipe.root_from, recipe.slim]).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}:{_sha256(path)}\n".encode())
    return digest.hexdigest()[:TAG_LENGTH]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def build(recipe: Recipe, name: str, config: str | None = None) -> str:
    """Build ``name``:TAG and return that; with ``config``, a Lithops configuration file, through Lithops' own
    ``runtime build``, which also pushes it to that backend's registry. Raises RuntimeImageError."""
    with build_context(recipe) as (folder, tag):
        image = f"{name}:{tag}"
        if config is None:
            _run([tool(), "build", "-t", image, "-f", "Dockerfile", *recipe.arguments, "."], folder, quiet=False)
        else:
            _lithops("build", image, "-f", "Dockerfile", "-c", str(Path(config).resolve()), *recipe.arguments, cwd=folder)
    return image


def _lithops(verb: str, *arguments: str, cwd: Path | None = None) -> None:
    """Lithops' own command line, as ``lithops runtime VERB``."""
    program = "from lithops.scripts.cli import lithops_cli; lithops_cli()"
    _run([sys.executable, "-W", "ignore", "-c", program, "runtime", verb, *arguments], cwd, quiet=False)


def write_tag(config: str, backend: str, image: str) -> None:
    """Set ``runtime:`` of ``backend``'s section of a configuration file to ``image``; comments and the rest stay."""
    path = Path(config)
    section, done, lines = "", False, []
    for line in path.read_text().splitlines(keepends=True):
        if re.match(r"\w", line):
            section = line.split(":")[0]
        match = re.match(r"(\s+runtime:\s*)(\S+)(.*)", line, re.DOTALL)
        if match and section == backend:
            line, done = f"{match[1]}{image}{match[3]}", True
        lines.append(line)
    if not done:
        raise RuntimeImageError(f"expected a setting {backend}.runtime in {config}, found none; the image is {image}")
    path.write_text("".join(lines))


# -- deploy -----------------------------------------------------------------------------------------------------------


def deploy(config: str, backend: Any, storage: Any, section: dict[str, Any]) -> list[str]:
    """Deploy the runtime of ``config`` through Lithops; first remove one whose settings differ, which Lithops would keep.

    ``backend`` is Lithops' handler and ``storage`` its storage, of that configuration; returns what differed.
    """
    image, memory = section["runtime"], section["runtime_memory"]
    differ = differences(backend.backend, section)
    if differ:
        version = smoke_test.versions()["lithops"]
        backend.delete_runtime(image, memory, version)
        storage.delete_runtime_meta(backend.get_runtime_key(image, memory, version))
    arguments = ["--memory", str(memory), "--timeout", str(section["runtime_timeout"])]
    _lithops("deploy", image, "-c", str(Path(config).resolve()), *arguments)
    if wants_snapstart(backend.backend_name, section):
        snapstart.publish(backend.backend.lambda_client, backend.backend._format_function_name(image, memory))
    return differ


def differences(backend: Any, section: dict[str, Any]) -> list[str]:
    """Settings with which a Lambda function was deployed and that are no longer those of ``section``; none elsewhere."""
    if not hasattr(backend, "lambda_client"):
        return []
    name = backend._format_function_name(section["runtime"], section["runtime_memory"])
    client = backend.lambda_client
    try:
        deployed = client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return []
    variables = {item["name"]: item["value"] for item in section.get("env_vars") or []}
    pairs = {
        "runtime_timeout": (deployed["Timeout"], section["runtime_timeout"]),
        "ephemeral_storage": (deployed.get("EphemeralStorage", {}).get("Size", 512), section.get("ephemeral_storage", 512)),
        "env_vars": (sorted(deployed.get("Environment", {}).get("Variables", {})), sorted(variables)),
        "execution_role": (deployed["Role"], section["execution_role"]),
        "snapstart": (deployed.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions", bool(section.get("snapstart"))),
    }
    return [f"{what}: {was} deployed, {wanted} configured" for what, (was, wanted) in pairs.items() if was != wanted]


# -- smoke ------------------------------------------------------------------------------------------------------------


def driver_versions() -> dict[str, str]:
    """What the image must have, too; ROOT's only where this Python has one."""
    found = smoke_test.versions()
    try:
        import ROOT
    except ImportError:
        return found
    return {**found, "root": str(ROOT.__version__)}


def smoke(image: str, options: Sequence[str] = CONFINED) -> dict[str, Any]:
    """Run the smoke test in ``image``, confined as on Lambda: its outcome, with ``checks`` of versions added.

    See ``worker.smoke``; raises RuntimeImageError where the image gives no outcome at all.
    """
    command = [tool(), "run", "--rm", *options, "--entrypoint", "/opt/rdf/bin/python", image]
    program = ["-W", "ignore", "-m", "rdf_lithops.worker.root.smoke"]
    done = subprocess.run([*command, *program], capture_output=True, text=True, timeout=SMOKE_LIMIT_S, check=False)
    try:
        outcome: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        tail = (done.stdout + done.stderr)[-3000:]
        raise RuntimeImageError(f"{image} does not run the smoke test (status {done.returncode})", log_tail=tail) from error
    for what, expected in driver_versions().items():
        got = outcome["versions"].get(what)
        outcome["checks"][f"same {what}"] = "ok" if got == expected else f"expected {expected} as here, got {got}"
    return outcome


# -- size -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """Bytes of an image: unpacked, compressed as a registry keeps it, and read from disk by a cold start.

    ``touched_bytes`` is None where it cannot be measured (not root, or not podman), ``why`` says so.
    """

    image: str
    bytes: int
    compressed_bytes: int
    touched_bytes: int | None
    touched_files: int = 0
    why: str = ""
    largest: tuple[tuple[str, int], ...] = ()


def weigh(image: str) -> Size:
    """Measure ``image``; takes a minute, and starts it once."""
    unpacked = int(_run([tool(), "image", "inspect", "--format", "{{.Size}}", image]).strip())
    compressed = _compressed_bytes(image)
    try:
        found = touched(image)
    except RuntimeImageError as error:
        return Size(image, unpacked, compressed, None, why=error.what)
    largest = tuple(sorted(found.items(), key=lambda item: -item[1])[:20])
    return Size(image, unpacked, compressed, sum(found.values()), len(found), largest=largest)


def _compressed_bytes(image: str) -> int:
    """The size of all layers, compressed as registries do (gzip's usual level)."""
    packer, total = zlib.compressobj(6, zlib.DEFLATED, 31), 0
    with subprocess.Popen([tool(), "save", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 20):
            total += len(packer.compress(piece))
    if process.returncode != 0:
        raise RuntimeImageError(f"{os.path.basename(tool())} save {image} ended with status {process.returncode}")
    return total + len(packer.flush())


def touched(image: str, program: str = "import rdf_lithops.worker.start.lambda_handler") -> dict[str, int]:
    """Bytes of each of the image's files that a cold start has in memory afterwards, having begun with none of them.

    The kernel's page cache is asked (mincore): what Lambda has to fetch, read-ahead included. Needs root and podman.
    """
    program_tool = tool()
    if os.getuid() != 0 or "podman" not in os.path.realpath(program_tool):
        raise RuntimeImageError("what a cold start reads can be measured by root with podman only")
    from . import pagecache

    root = Path(_run([program_tool, "image", "mount", image]).strip())
    try:
        files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        for path in files:
            pagecache.evict(path)
        command = [program_tool, "run", "--rm", *CONFINED, "--entrypoint", "/opt/rdf/bin/python", image, "-W", "ignore"]
        _run([*command, "-c", program], limit_s=SMOKE_LIMIT_S)
        found = {str(path.relative_to(root)): pagecache.resident_bytes(path) for path in files}
    finally:
        _run([program_tool, "image", "unmount", image])
    return {name: size for name, size in found.items() if size}


def describe(outcome: dict[str, Any]) -> Iterator[str]:
    """The lines that say how a smoke test went."""
    for name, result in outcome["checks"].items():
        yield f"{'ok' if result == 'ok' else 'WRONG':6} {name}" + ("" if result == "ok" else f": {result}")
    yield "versions " + ", ".join(f"{name} {version}" for name, version in outcome["versions"].items())


# The image is for one Python and one machine type: those of this driver.
PLATFORM = f"linux/{platform.machine()}, Python {platform.python_version()}, rdf_lithops {_version.__version__}"
