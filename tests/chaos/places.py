"""Where chaos runs: either version of Lithops' localhost backend, or the stand-in for AWS Lambda, with processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lithops
import psutil
from lambda_standin import Places, standing

from chaos import family

__all__ = ["PLACES", "Place", "opened"]

PLACES = ("localhost1", "localhost2", "lambda")


@dataclass(frozen=True)
class Place:
    """An executor, what may be killed there, and what its runs have left."""

    executor: lithops.FunctionExecutor
    victims: Callable[[], list[psutil.Process]]
    left: Callable[[], list[str]]


@contextlib.contextmanager
def opened(name: str) -> Iterator[Place]:
    """One of ``PLACES``, for some runs."""
    if name != "lambda":
        with family.executor(int(name[-1])) as executor:
            yield Place(executor, family.descendants, lambda: family.left_in_storage(executor))
        return
    with standing(Places(), quota=3, max_workers=8) as lambda_here:
        executor = lambda_here.executor

        def victims() -> list[psutil.Process]:
            runners = [environment.runner for environment in list(lambda_here.service.environments)]
            return [process for runner in runners for process in family.of(runner.tmp)]

        # a call that Lambda has begun cannot be stopped, and writes after its run: the executor's end deletes that
        yield Place(executor, victims, list)
