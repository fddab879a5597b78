"""The reference: what Lithops gives a DistRDF backend for nothing.

One range per Lithops call, ROOT imported and the graph compiled in each, partials folded on the reducer, everything
through ``map_reduce`` with Lithops' own defaults. What crosses are bytes that our own code unpickles once ROOT is up, since
Lithops' unpickling of a ROOT object in a process without ROOT crashes.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle
import ROOT
from ROOT._distrdf import DataFrame, HeadNode
from ROOT._distrdf.Backends import Base

__all__ = ["NaiveLithopsBackend"]


@dataclass(frozen=True)
class NaiveMap:
    """Run DistRDF's mapper on one range."""

    mapper: bytes

    def __call__(self, packed_range: bytes) -> bytes:
        """Both sides of it are pickles."""
        _start_root()
        return pickle.dumps(pickle.loads(self.mapper)(pickle.loads(packed_range)))


@dataclass(frozen=True)
class NaiveReduce:
    """Fold all partials with DistRDF's reducer, in the order of the ranges."""

    reducer: bytes

    def __call__(self, results: list[bytes]) -> bytes:
        """Both sides of it are pickles."""
        _start_root()
        fold, total = pickle.loads(self.reducer), pickle.loads(results[0])
        for result in results[1:]:
            total = fold(total, pickle.loads(result))
        return pickle.dumps(total)


def _start_root() -> None:
    """Any C++ class does: before it, unpickling an object of ROOT's is a segmentation fault."""
    assert ROOT.gInterpreter


class NaiveLithopsBackend(Base.BaseBackend):
    """DistRDF on one Lithops executor, as simple as it can be."""

    def __init__(self, executor: Any) -> None:
        super().__init__()
        self.executor = executor

    def ProcessAndMerge(  # DistRDF's name
        self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]
    ) -> Any:
        """One map call per range, then one reduce call."""
        tasks = NaiveMap(cloudpickle.dumps(mapper)), NaiveReduce(cloudpickle.dumps(reducer))
        iterdata = [{"packed_range": cloudpickle.dumps(item)} for item in ranges]
        futures = self.executor.map_reduce(tasks[0], iterdata, tasks[1])
        return pickle.loads(self.executor.get_result(futures))

    def make_dataframe(self, *args: Any, npartitions: int | None = None) -> Any:
        """A distributed RDataFrame over ``args``, those of ROOT.RDataFrame."""
        return DataFrame.RDataFrame(HeadNode.get_headnode(self, npartitions, *args))

    def optimize_npartitions(self) -> int:
        """One range per core."""
        return os.cpu_count() or 1

    def distribute_unique_paths(self, paths: Any) -> None:
        """No workload here sends files."""
