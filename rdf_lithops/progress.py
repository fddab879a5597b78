"""A bar on standard error that shows the calls of a run as they deliver: a consumer of events."""

from __future__ import annotations

from tqdm import tqdm

from .events import CallEnded, Event, RunBegan, RunEnded

__all__ = ["ProgressBar"]


class ProgressBar:
    """One bar per run, removed when the run ends."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, event: Event) -> None:
        """Show ``event``."""
        if isinstance(event, RunBegan):
            self._bar = tqdm(total=event.plan.calls, desc="calls", unit="call", leave=False)
        elif self._bar is not None and isinstance(event, CallEnded):
            self._bar.update()
        elif self._bar is not None and isinstance(event, RunEnded):
            self._bar.close()
            self._bar = None
