"""Has each Python process of an environment freeze at ``FREEZE``, wherever it is: a snapshot asks nobody."""

from __future__ import annotations

import os

if "RDF_LITHOPS_STANDIN_ORDERS" in os.environ:
    import signal

    import copying

    signal.signal(copying.FREEZE, lambda number, frame: copying.freeze())
