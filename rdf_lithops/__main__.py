"""``python -m rdf_lithops`` is the command line, as ``rdf-lithops`` is."""

from __future__ import annotations

from .cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main(prog_name="rdf-lithops")
