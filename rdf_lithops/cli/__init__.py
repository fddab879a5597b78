"""The command line, one module per verb.

``rdf-lithops gc`` is the module ``gc.py`` of this package, which defines ``command``, a click command. That is all there is
to adding a verb: it is listed in the help, completed by shells and loaded by its name. Modules that begin with an underscore
are what verbs share. A verb raises the package's errors, and prints with ``click.echo``; how an error is shown and which
exit code it ends with is decided here (``EXIT_CODES``).
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import click

from .. import __version__
from ..errors import RdfLithopsError

__all__ = ["DIFFERENT", "EXIT_CODES", "FAILED", "INTERRUPTED", "CheckFailed", "main"]

FAILED, DIFFERENT, INTERRUPTED = 1, 3, 130  # 2 is click's: the command line itself is wrong
EXIT_CODES = {
    0: "done",
    FAILED: "it could not be run, or it failed: the message says where, why and what to do next",
    2: "the command line is wrong",
    DIFFERENT: "it ran, and what it was to check does not hold",
    INTERRUPTED: "interrupted (Ctrl-C)",
}


class CheckFailed(click.ClickException):
    """It ran, and what it was to check does not hold."""

    exit_code = DIFFERENT


class _Verbs(click.Group):
    """The modules of this package, by their names."""

    def list_commands(self, context: click.Context) -> list[str]:
        names = [module.name for module in pkgutil.iter_modules(__path__)]
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        command = import_module(f".{name.replace('-', '_')}", __name__).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, context: click.Context) -> object:
        with _errors_shown(context):
            return super().invoke(context)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])
        with formatter.section("Completion"):
            formatter.write_text('For bash: eval "$(rdf-lithops completion bash)"; zsh and fish likewise.')


@contextlib.contextmanager
def _errors_shown(context: click.Context) -> Iterator[None]:
    """An error of ours, or a missing ROOT, becomes a message and an exit code, not a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "ROOT":
            raise
        raise click.ClickException("there is no ROOT in this Python; pip install 'rdf_lithops[root]'") from error
    except RdfLithopsError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a place that cannot be written, a disk that is full
        raise click.ClickException(f"{error.strerror}: {error.filename}" if error.filename else str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted: the calls of this run were cancelled and what it wrote was removed", err=True)
        context.exit(INTERRUPTED)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="rdf-lithops")
def main() -> None:
    """ROOT RDataFrame analyses on any compute that Lithops reaches, with the answer of one core.

    Start with `rdf-lithops demo`: it needs nothing but this machine. Each verb explains itself: `rdf-lithops demo --help`.
    """
    # Two Lithops programs of one user otherwise delete each other's copy of the package. Workers inherit it.
    os.environ["PYTHONSAFEPATH"] = "1"
