"""During a run and after it: what each second and cent went into. Values and text: knows neither ROOT nor Lithops.

progress     a bar, or a line now and then, while a run lasts
graph_progress  the lines of several graphs below that bar
accounting   from the events of a run to its ``Report``
later        a report that is made when it is asked for
values       what a run did, as records: one per call, one for the run
report       ``Report``: such a record, with the ways in which it is shown
text         a report as text
html         as HTML
picture      as a picture by matplotlib
timeline     what the two pictures have in common
advice       what a report suggests for the next run
experience   what an executor's runs have taught, so that its next plans predict

Not called ``report``: a package of that name would hide ``rdf_lithops.report(df)``.
"""

from __future__ import annotations

from .accounting import Recorder
from .later import LaterReport
from .report import Report
from .values import Bill, Call, Share

__all__ = ["Bill", "Call", "LaterReport", "Recorder", "Report", "Share"]
