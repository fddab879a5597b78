"""What a node is told to run: the site's set-up, then Python, of this environment or of a container."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from typing import Any

from . import settings
from .commands import run

__all__ = ["ask_here", "element_lines", "package_parent", "python_command"]


def element_lines(section: dict[str, Any], folder: str, element: str) -> list[str]:
    """The set-up of a site, and the command that runs an element there."""
    scratch = section.get("scratch")
    ours = not (section.get("container") or section.get("python"))  # another Python has packages of its own
    return [
        "export LITHOPS_WORKER=True",
        "unset LITHOPS_CONFIG LITHOPS_CONFIG_FILE",
        *([f'export PYTHONPATH="{package_parent()}${{PYTHONPATH:+:$PYTHONPATH}}"'] if ours else ["unset PYTHONPATH"]),
        *([f'export LITHOPS_BATCH_SCRATCH="{scratch}"'] if scratch else []),
        *section["setup"],
        f'exec {python_command(section)} -m rdf_lithops.batch.element {shlex.quote(folder)} "{element}"',
    ]


def python_command(section: dict[str, Any]) -> str:
    """The command line of Python on a node: this one where it is shared, or that of a container."""
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
