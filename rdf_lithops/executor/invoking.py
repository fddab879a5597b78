"""Invocations that a backend throttles or refuses: asked again with growing pauses, or the end of their calls. Pure.

Lithops invokes in threads of its own; an invocation that fails there leaves a line in a log, and its calls are waited for
without end. Here it is asked again while that can help, and in the end reported, so that the run knows.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["REFUSED", "PatientInvoke", "explain"]

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
GIVE_UP_S = 120.0
REFUSED = "refused"

# How backends say "not now": HTTP's codes, AWS' names for them, a connection that broke.
_BUSY = re.compile(
    r"\b(429|500|502|503|504)\b|TooManyRequests|Throttl|RateLimit|Rate Exceeded|ServiceUnavailable|timed? ?out|"
    r"Connection (reset|refused|aborted)|temporarily unavailable|SnapStartNotReady|Lambda is initializing your function",
    re.IGNORECASE,
)


def is_busy(error: Exception) -> bool:
    """Whether the same invocation may succeed a little later."""
    return isinstance(error, (ConnectionError, TimeoutError)) or bool(_BUSY.search(str(error)))


def explain(error: Exception) -> str:
    """Why a backend refused an invocation, with the next step, in one line."""
    said = " ".join(_said(error).split())[:300]
    hints = {
        r"Overrides length": "AWS Batch takes so many characters, in which Lithops names each call: use fewer calls "
        "(npartitions, or options.ranges_per_call)",
        r"exceeded quota": "fewer at a time, or a larger quota: lower max_workers",
        r"\b(401|403)\b|not authorized|Unauthorized|AccessDenied": "the credentials may not invoke it (rdf-lithops check)",
        r"\b404\b|not deployed": "the runtime is not deployed (rdf-lithops runtime deploy)",
        r"\b413\b|RequestTooLarge|too large": "the invocation's message is too large (rdf-lithops plan)",
        r"\b429\b|Throttl|TooManyRequests|RateLimit": "more calls than the quota allows: lower max_workers",
    }
    hint = next((text for pattern, text in hints.items() if re.search(pattern, said, re.IGNORECASE)), "")
    return f"the backend refused the invocation: {said}" + (f"; {hint}" if hint else "")


def _said(error: Exception) -> str:
    """What a backend said; Kubernetes' client puts headers first, and the reason at the end of a body."""
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return f"({getattr(error, 'status', '')}) {json.loads(getattr(error, 'body', None) or '')['message']}"
    return str(error)


@dataclass
class PatientInvoke:
    """Stands in for a backend's ``invoke(payload)``: patient where the backend is busy, and never silent.

    ``refused(payload, why)`` is told of an invocation that was given up, and records the end of its calls; Lithops, which
    would only log an error, then gets an identifier like that of any other invocation. Pauses grow from ``FIRST_PAUSE_S``
    to ``LONGEST_PAUSE_S``, each drawn at random, so that many threads do not come back at once.
    """

    invoke: Callable[[dict[str, Any]], Any]
    refused: Callable[[dict[str, Any], str], None]
    give_up_s: float = GIVE_UP_S
    sleep: Callable[[float], None] = time.sleep
    throttled: int = field(default=0, init=False)

    def __call__(self, payload: dict[str, Any]) -> Any:
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return self.invoke(payload)
            except Exception as error:
                if not is_busy(error) or time.monotonic() - began + pause_s > self.give_up_s:
                    why = explain(error)
                    logger.warning("calls %s: %s", payload.get("call_ids"), why)
                    self.refused(payload, why)
                    return REFUSED
                self.throttled += 1
                logger.info("invocation of calls %s: %s; again in %.1f s", payload.get("call_ids"), error, pause_s)
            self.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
