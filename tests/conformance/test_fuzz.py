"""Random programs give what local RDataFrame gives, value for value and error for error; so do those that once did not.

A few programs, always the same ones; `make fuzz` runs others for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from fuzz import compare, running
from fuzz.programs import Program, load, programs

REGRESSIONS = sorted((Path(__file__).parents[1] / "fuzz" / "regressions").glob("*.py"))
PROGRAMS = 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Number of partitions .* is greater than number of entries:UserWarning")
@pytest.mark.timeout(600)
@hypothesis.given(programs())
@hypothesis.settings(
    max_examples=PROGRAMS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.generate],
)
def test_random_programs(fexec: Any, program: Program) -> None:
    """A random program over random files has local RDataFrame's results, or fails where that fails."""
    assert [] == running.check(load(program.text()), fexec)


@pytest.mark.filterwarnings("ignore:Number of partitions .* is greater than number of entries:UserWarning")
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_the_fuzzer_found(path: Path, fexec: Any) -> None:
    """A program that once differed from local RDataFrame agrees with it."""
    assert [] == running.check(load(path.read_text()), fexec)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1.0),
        (1.0, 1.0 + 1e-8),
        (0.0, float("nan")),
        ([1, 2], [1]),
        ([["cut", 3, 2]], [["cut", 3, 1]]),
        ({"x": ["int32", (2,), [1, 2]]}, {"x": ["int64", (2,), [1, 2]]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_a_difference_is_seen(expected: Any, actual: Any) -> None:
    """The comparison notices another type, number, length, order of keys."""
    assert [] == compare.differences(expected, expected)
    assert len(compare.differences(expected, actual)) == 1


@pytest.mark.parametrize(
    ("fails_locally", "words"), [(True, "local raises, ours answers"), (False, "ours raises ValueError")]
)
def test_a_side_that_fails_alone_is_a_difference(fails_locally: bool, words: str, fexec: Any) -> None:
    """The comparison of a query in which one side alone fails says so, and which."""

    def book(frame: Any, out: str) -> Any:
        node = frame(5)
        yield [node.Count()]
        is_local = not hasattr(node, "_headnode")  # DistRDF's have one
        if is_local is fails_locally:
            raise ValueError("on purpose")

    (found,) = running.check([running.Query((book,), 2)], fexec)
    assert words in found
