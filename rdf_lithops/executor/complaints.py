"""What Lithops' local back end says of jobs that we have stopped or are done with, which is no news to the user.

Their function may be deleted while one of their processes begins, or is killed; its runner then prints a traceback, which
Lithops logs as an error beside a right result, or behind KeyboardInterrupt.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["expect", "install"]

MAX_KEYS = 10_000  # a complaint comes within seconds
_LOGGERS = ("lithops.localhost.v1.localhost", "lithops.localhost.v2.localhost")
# Lithops 3.8: "ExecutorID <id> | JobID M007 - Job process failed ...", "Task process <id>-M007-00003 failed with ..."
_FAILED = re.compile(r"ExecutorID (\S+) \| JobID (\w+) - Job process failed|Task process (\S+)-\d+ failed with return code")
_keys: OrderedDict[str, None] = OrderedDict()
_thread = threading.local()  # drops: whether what the process printed is what comes next


def expect(keys: Iterable[str]) -> None:
    """Whatever fails of these jobs from now on is nobody's concern."""
    for key in keys:
        _keys[key] = None
    while len(_keys) > MAX_KEYS:
        _keys.popitem(last=False)


def install() -> None:
    """Keep such messages from being printed; done twice, it does nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_news)  # the same function is added once


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message is for the user. What a process has printed is a message of its own behind the one that names it."""
    if record.levelno < logging.ERROR:
        return True
    failed = _FAILED.match(record.getMessage())
    if failed is None:
        follows, _thread.drops = getattr(_thread, "drops", False), False
        return not follows
    executor_id, job_id, key = failed.groups()
    _thread.drops = (key or f"{executor_id}-{job_id}") in _keys
    return not _thread.drops
