"""The program's modules are looked through for what travels by value, whatever else happens meanwhile."""

from __future__ import annotations

import gc
import sys

from rdf_lithops.executor import payload


def test_modules_may_come_while_they_are_looked_through() -> None:
    """Something of the program's that is collected meanwhile, and imports, disturbs nothing."""
    before, thresholds, left = set(sys.modules), gc.get_threshold(), [1000]

    class Late:
        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            left[0] -= 1
            sys.modules[f"rdf_lithops_late_{left[0]}"] = sys
            if left[0] > 0:
                Late()

    Late()
    gc.set_threshold(20)
    try:
        for _ in range(20):
            assert payload.dumps(1)
    finally:
        gc.set_threshold(*thresholds)
        left[0] = 0
        gc.collect()
        for name in set(sys.modules) - before:
            if name.startswith("rdf_lithops_late_"):
                del sys.modules[name]
