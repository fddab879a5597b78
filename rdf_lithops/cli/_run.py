"""What verbs that run a graph have in common: a Lithops executor, checked files, a data frame on both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import demo
from ..errors import PlanError

__all__ = ["LOCALHOST", "executor", "frame", "read_input", "storage"]

# What configs/localhost.yaml says, for an installed package that came without it; each line's reason is there.
LOCALHOST: dict[str, dict[str, Any]] = {
    "lithops": {
        "backend": "localhost",
        "storage": "localhost",
        "data_cleaner": False,
        "data_limit": False,
        "log_level": "WARNING",
    },
    "localhost": {"version": 1},
}


@contextmanager
def executor(config: str | None) -> Iterator[Any]:
    """A Lithops executor of the configuration file, or of this machine."""
    import lithops

    try:
        made = lithops.FunctionExecutor(**({"config_file": config} if config else {"config": copy.deepcopy(LOCALHOST)}))
    except Exception as error:  # Lithops raises plain Exception for what it does not like in a file
        raise PlanError(f"Lithops does not accept {config or 'the configuration'}: {error}") from error
    with made:
        from ..executor import registry

        try:
            registry.options_of(made, None)
        except TypeError as error:
            raise PlanError(str(error)) from error
        yield made


def storage(config: str) -> Any:
    """The storage of a Lithops configuration file; no executor is made."""
    from lithops.config import default_config, extract_storage_config
    from lithops.storage import Storage

    try:
        return Storage(storage_config=extract_storage_config(default_config(config_file=config)))
    except Exception as error:  # as above
        raise PlanError(f"Lithops does not accept {config}: {error}") from error


def read_input(tree: str, files: Sequence[str]) -> list[str]:
    """The paths that ``files`` stand for; PlanError unless they hold ``tree`` with the columns that the spectrum reads."""
    paths = demo.expand(files)
    demo.check_input(tree, paths)
    return paths


def frame(made: Any, tree: str, paths: list[str], npartitions: int | None) -> Any:
    """A data frame over ``paths`` on the executor ``made``, with a progress bar."""
    import ROOT

    return ROOT.RDataFrame(tree, paths, executor=made, npartitions=npartitions, options={"progress": True})
