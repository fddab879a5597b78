"""``Sum``, ``Min`` and ``Max`` of a type in brackets return a value of this type, whole numbers beyond 2^53 exactly."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT
from kinds import quickly

COLUMNS = {
    "Long64_t": "(Long64_t(1) << 60) + Long64_t(rdfentry_)",
    "ULong64_t": "(ULong64_t(1) << 63) + rdfentry_",
    "int": "int(rdfentry_) - 3",
    "float": "0.1f * float(rdfentry_)",
    "bool": "rdfentry_ % 2 == 0",
    "short": "short(4000 * rdfentry_)",
}


@pytest.mark.parametrize("kind", quickly(COLUMNS, "Long64_t", "float"))
def test_results_of_a_type(kind: str, fexec: Any) -> None:
    """Each, in several ranges, and what varies: values and types are those of local ROOT."""

    def found(**executor: Any) -> list[tuple[type, Any]]:
        frame = ROOT.RDataFrame(20, **executor).Define("x", COLUMNS[kind])
        varied = frame.Vary("x", f"ROOT::RVec<{kind}>{{x, x}}", ["down", "up"])
        handles = [getattr(frame, name)[kind]("x") for name in ("Sum", "Min", "Max")]
        with_variations = varied.Max[kind]("x")
        values = [*(handle.GetValue() for handle in handles), with_variations.GetValue()]
        values += [ROOT.RDF.Experimental.VariationsFor(with_variations)["x:up"]]
        return [(type(value), value) for value in values]

    assert found() == found(executor=fexec, npartitions=3)


def test_a_sum_without_a_type_beside_one_with(fexec: Any) -> None:
    """Both of one column in one run are what each is locally."""

    def found(**executor: Any) -> tuple[float, int]:
        frame = ROOT.RDataFrame(20, **executor).Define("x", COLUMNS["Long64_t"])
        plain, typed = frame.Sum("x"), frame.Sum["Long64_t"]("x")
        return plain.GetValue(), typed.GetValue()

    (plain, exact), (here, exact_here) = found(executor=fexec, npartitions=3), found()
    assert (exact, type(exact)) == (exact_here, int)
    assert pytest.approx(here) == plain
    assert exact != int(plain)
