"""A report that is made when it is asked for, of what was told of a run while it lasted."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from ..planning.cost import Bill, Offer, prices_of
from .accounting import Recorder
from .report import Report

__all__ = ["LaterReport"]


@dataclasses.dataclass(frozen=True)
class LaterReport:  # decision 380
    """What a report needs: ``ended_at`` in seconds of the driver's clock, ``known`` are fields of ``Report``, ``offer`` what
    a call had, ``usd_per_gb_s`` the user's own price (None: that of the list)."""

    recorder: Recorder = dataclasses.field(repr=False)
    ended_at: float
    known: Mapping[str, Any]
    offer: Offer
    usd_per_gb_s: float | None

    @functools.cached_property
    def report(self) -> Report:
        """The report of the run, with its bill."""
        report = self.recorder.finish(self.ended_at, **self.known)
        return dataclasses.replace(report, bill=self._bill(report))

    def _bill(self, report: Report) -> Bill:
        """What a run is billed: the time in which workers had its calls, each rounded up to a millisecond."""
        if self.offer.is_local:
            return Bill()
        seconds = sum(math.ceil(1000 * call.worker_s) / 1000 for call in report.calls)
        prices, restored = prices_of(self.offer, self.usd_per_gb_s), sum(call.restored for call in report.calls)
        return Bill.of(seconds, len(report.calls), self.offer, prices, restored)
