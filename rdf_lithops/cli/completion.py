"""``rdf-lithops completion``: the script that makes a shell complete verbs, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]


@click.command("completion", short_help="Print what makes your shell complete verbs and options.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Put it into your shell's start-up file:
      bash   eval "$(rdf-lithops completion bash)"          in ~/.bashrc
      zsh    eval "$(rdf-lithops completion zsh)"           in ~/.zshrc
      fish   rdf-lithops completion fish | source           in ~/.config/fish/config.fish
    """
    made = get_completion_class(shell)
    assert made is not None and context.parent is not None
    click.echo(made(context.parent.command, {}, "rdf-lithops", "_RDF_LITHOPS_COMPLETE").source())
