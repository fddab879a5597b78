"""After a run: what each second and cent went into. Pure values and text: knows neither ROOT nor Lithops.

``accounting`` makes a ``Report`` (``values``) of the events of a run; ``text``, ``html`` and ``picture`` show it, ``advice``
draws conclusions. Not called ``report``, for the reason that ``planning`` is not called ``plan``.
"""

from __future__ import annotations

from .accounting import Recorder
from .values import Bill, Call, Report

__all__ = ["Bill", "Call", "Recorder", "Report"]
