"""What a node is told to run: the site's set-up, then Python, of this environment, a container or a tarball."""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import sys
from typing import Any

from . import settings
from .commands import run

__all__ = ["ask_here", "brings_its_own", "element_lines", "package_parent", "python_command", "unpacked"]

# A user's node has one copy of an environment, whoever comes first unpacks it, and a shared lock is held by all that use it:
# what nobody holds goes when another one is unpacked. Descriptor 9 goes on to Python.
_UNPACK = """
environment="{folder}"
while exec 9>>"$environment.lock" && flock --shared 9 && ! [ "$environment.lock" -ef /proc/self/fd/9 ]; do :; done
if ! [ -e "$environment/.whole" ]; then
    exec 8>>"$environment.unpacking" && flock 8
    if ! [ -e "$environment/.whole" ]; then
        for other in "${{environment%-*}}"-*.lock; do
            [ "$other" = "$environment.lock" ] && continue
            flock --nonblock "$other" rm -rf "${{other%.lock}}" "${{other%.lock}}.unpacking" "$other"
        done
        rm -rf "$environment" && mkdir -m 700 "$environment" && tar -xf {tarball} -C "$environment" || exit 1
        moved="$environment/bin/conda-unpack"
        if [ -e "$moved" ]; then "$environment/bin/python" "$moved" || exit 1; fi
        touch "$environment/.whole"
    fi
    exec 8>&-
fi
"""


def element_lines(section: dict[str, Any], folder: str, element: str) -> list[str]:
    """The set-up of a site, and the command that runs an element there."""
    scratch = section.get("scratch")
    ours = not (brings_its_own(section) or section.get("python"))  # another Python has packages of its own
    tarball = section.get("tarball")
    unpack = _UNPACK.format(folder=unpacked(section), tarball=shlex.quote(tarball)) if tarball else ""
    return [
        "export LITHOPS_WORKER=True",
        "unset LITHOPS_CONFIG LITHOPS_CONFIG_FILE",
        *([f'export PYTHONPATH="{package_parent()}${{PYTHONPATH:+:$PYTHONPATH}}"'] if ours else ["unset PYTHONPATH"]),
        *([f'export LITHOPS_BATCH_SCRATCH="{scratch}"'] if scratch else []),
        *section["setup"],
        *unpack.strip().splitlines(),
        f'exec {python_command(section)} -m rdf_lithops.batch.element {shlex.quote(folder)} "{element}"',
    ]


def brings_its_own(section: dict[str, Any]) -> bool:
    """Whether nodes have another environment than this machine: what it has is asked of a node."""
    return bool(section.get("container") or section.get("tarball"))


def unpacked(section: dict[str, Any]) -> str:
    """Where a node has what is in the tarball, in a shell's double quotes; another content lies elsewhere."""
    path = str(section["tarball"])
    seen = os.stat(path)
    digest = hashlib.sha256(f"{path} {seen.st_size} {seen.st_mtime_ns}".encode()).hexdigest()[:12]
    return f"{section.get('scratch') or '${TMPDIR:-/tmp}'}/lithops-environment-{os.getuid()}-{digest}"


def python_command(section: dict[str, Any]) -> str:
    """The command line of Python on a node: this one where it is shared, or that of a container or a tarball."""
    if section.get("tarball"):
        return f'"{unpacked(section)}/{section.get("python") or "bin/python"}"'
    interpreter = str(section.get("python") or ("python3" if section.get("container") else sys.executable))
    if not section.get("container"):
        return shlex.quote(interpreter)
    binds = [*section["visible"], *([str(section["scratch"])] if section.get("scratch") else [])]
    bound = " ".join(f"--bind {shlex.quote(path)}" for path in dict.fromkeys(binds))
    more = " ".join(settings.lines(section.get("container_options")))
    return " ".join(filter(None, ["apptainer exec", bound, more, shlex.quote(str(section["container"])), interpreter]))


@functools.cache
def package_parent() -> str:
    """The folder from which this package is imported, here and there."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def ask_here(section: dict[str, Any], arguments: list[str]) -> str:
    """What Python prints when it is set up on this machine as on a node, and given ``arguments``."""
    command = " ".join([python_command(section), *map(shlex.quote, arguments)])
    return run(["bash", "-c", "\n".join(["cd /", *element_lines(section, "", "")[:-1], f"exec {command}"])])
