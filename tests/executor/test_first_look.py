"""What an executor does in its storage before its first run (``executor.first_look``)."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from rdf_lithops.executor import first_look


def test_a_later_run_does_not_wait_for_a_submission_that_is_stuck() -> None:
    """A submission may have an executor's lock for as long as its back end waits: a later run gets past the first look."""
    recorded = (0.0, None)
    session: Any = SimpleNamespace(lock=threading.Lock(), recorded=recorded)
    with session.lock:
        later = threading.Thread(target=first_look.begin, args=(session, True), daemon=True)
        later.start()
        later.join(5.0)
        assert not later.is_alive()
    assert session.recorded is recorded
