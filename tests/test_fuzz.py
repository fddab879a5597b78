"""A short run of the fuzzer, the same programs each time; ``make fuzz`` runs others for as long as one likes."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz import engine, strategies
from fuzz.programs import Program
from hypothesis import HealthCheck, Phase, given, settings


@pytest.mark.timeout(600)
@settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(program=strategies.programs())
def test_random_programs_answer_as_locally(fexec: Any, program: Program) -> None:
    """Whatever is booked over whatever files, the answer is that of local RDataFrame, or both raise."""
    assert "" == engine.check(program, fexec)
