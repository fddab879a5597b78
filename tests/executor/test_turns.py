"""More calls than a back end runs at a time: each gets its turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lithops
import pytest
import ROOT
from lambda_standin import Service

from rdf_lithops.executor.turns import Turns
from rdf_lithops.options import Options

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.mark.parametrize("given", [{}, {1: "refuse", 3: "refuse"}], ids=["all go well", "some do not"])
def test_more_calls_than_workers(
    aws: lithops.FunctionExecutor,
    aws_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[int, str],
) -> None:
    """With room for two at a time, five calls are run: one that has ended, or is refused, makes room for another."""
    monkeypatch.setattr(aws.invoker, "max_workers", 2)
    aws_service.script(given)
    options = Options(ranges_per_call=1, deadline_s=90.0, backoff_s=0.05, progress=False)
    assert 5 == ROOT.RDataFrame(5, executor=aws, npartitions=5, options=options).Count().GetValue()
    assert aws_service.most_at_a_time <= 2


def test_a_worker_with_several_calls_has_one_turn() -> None:
    """Where Lithops gives a worker several calls (``chunksize``), its turn is over with the last of them, and once."""
    tokens: list[str] = []
    monitor = SimpleNamespace(token_bucket_q=SimpleNamespace(put=tokens.append))
    invoker = SimpleNamespace(pending_calls_q=None)
    executor: Any = SimpleNamespace(config={"lithops": {"chunksize": 3}}, job_monitor=monitor, invoker=invoker)
    turns = Turns(executor, 7)
    given_back = []
    for call in ("00001", "00000", "00001", "00006", "00002", "00005", "00003", "00004", "00004"):
        turns.give_back([call])
        given_back.append(len(tokens))
    assert [0, 0, 0, 1, 2, 2, 2, 3, 3] == given_back
