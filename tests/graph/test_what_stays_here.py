"""What the user gave that cannot be compiled, or cannot travel, is refused at once, on a screen, and is not kept."""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
import traceback
import types
from typing import Any

import pytest
import ROOT

import rdf_lithops

HERE = r"test_what_stays_here.py:\d+\)"


def test_python_functions_that_do_not_compile(fexec: Any) -> None:
    """A Python function that Numba refuses is told on a screen: which, where, the first of Numba's words, what to do."""
    pytest.importorskip("numba")
    settings = types.SimpleNamespace(factor=1.0)

    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "double(rdfentry_)")
    with pytest.raises(rdf_lithops.PlanError, match=rf"Define: Numba does not compile .* <lambda> \(.*{HERE}") as caught:
        frame.Define("y", lambda x: x * settings.factor, ["x"])
    printed = "".join(traceback.format_exception(caught.value))
    assert "settings" in str(caught.value) and "next:" in str(caught.value)
    assert len(printed.splitlines()) <= 60
    assert 45.0 == frame.Sum("x").GetValue()


def test_python_functions_that_cannot_travel(fexec: Any) -> None:
    """A Python function with something that this process alone has, which Numba takes, is refused: which, where, why."""
    pytest.importorskip("numba")
    cosine = ctypes.CDLL(ctypes.util.find_library("m")).cos
    cosine.argtypes, cosine.restype = [ctypes.c_double], ctypes.c_double

    def turned(x: float) -> float:
        return cosine(x)

    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "double(rdfentry_)")
    with pytest.raises(rdf_lithops.PlanError, match=rf"function turned \(.*{HERE} of Define cannot travel"):
        frame.Define("y", turned, ["x"])
    assert 45.0 == frame.Sum("x").GetValue()


def test_initialize_that_cannot_travel(fexec: Any, registries: Any) -> None:
    """A function that needs what this process alone has is refused when it is given, by what of it, and is not kept."""
    lock = threading.Lock()

    def prepare(argument: Any = None) -> None:
        with lock:
            pass

    why = rf"initialize: it cannot travel to workers: .*: lock, a lock, of prepare \(.*{HERE}"
    with pytest.raises(rdf_lithops.PayloadError, match=why):
        ROOT.RDF.Distributed.initialize(prepare)
    with pytest.raises(rdf_lithops.PayloadError, match=r"initialize: it cannot travel to workers: .*argument 0, a lock"):
        ROOT.RDF.Distributed.initialize(print, threading.Lock())
    assert 10 == ROOT.RDataFrame(10, executor=fexec).Count().GetValue()
    registries.initialization = staticmethod(prepare)  # whoever put it there
    with pytest.raises(rdf_lithops.PayloadError, match="initialize: it cannot travel"):
        ROOT.RDataFrame(10, executor=fexec).Count().GetValue()
