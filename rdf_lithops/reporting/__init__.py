"""After a run: what each second and cent went into. Pure values and text: knows neither ROOT nor Lithops.

``accounting`` makes a ``Report`` of the events of a run: a record (``values``) with the ways in which it is shown (``text``,
``html``, ``picture``); ``advice`` draws conclusions, ``experience``
has what they teach the next plan. Not called ``report``, for the reason that ``planning`` is not called ``plan``.
"""

from __future__ import annotations

from .accounting import Recorder
from .report import Report
from .values import Bill, Call

__all__ = ["Bill", "Call", "Recorder", "Report"]
