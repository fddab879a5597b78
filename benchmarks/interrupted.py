"""``python -m benchmarks.interrupted``: Ctrl-C while a hundred calls run on Lambda, and what is billed after it.

The driver, Lithops' back ends and the S3 server are real, as in ``scale``; the calls are scripted but for what counts here:
they say that they live, and ask whether they are wanted, with the worker's own code (``processes.beats.Pulse``). Each would
work for five minutes.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import scale
from .simulation import Script

WORK_S, LIMIT_S = 300.0, 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was billed after the press; status 1 if it was more than a beat a call."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupted", description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--beat", type=float, default=2.0, help="seconds between signs of life [%(default)s]")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # Lithops invokes in more threads than its pool has connections
    with tempfile.TemporaryDirectory() as folder, scale.standing(Path(folder)) as (executor, _, control):
        script = Script(loop_s=WORK_S, cold_s=0.5, compile_s=0.5, beat_s=given.beat, listens=1)
        control({"script": vars(script)})
        pressed_at = _press(executor, given.calls, given.beat)
        back_s = time.time() - pressed_at
        until = time.monotonic() + LIMIT_S
        while (told := control({}))["busy"] and time.monotonic() < until:
            time.sleep(0.1)
    after = sorted(at - pressed_at for at in told["ended_at"] if at > pressed_at)
    billed_s, mean_s = sum(after), sum(after) / max(1, len(after))
    print(
        f"load {os.getloadavg()[0]:.1f}; Ctrl-C with {len(after)} of {given.calls} calls running (beat {given.beat:g} s): "
        f"the program went on after {back_s:.2f} s; billed after it {billed_s:.0f} s, {mean_s:.2f} s a call (at most "
        f"{after[-1] if after else 0:.2f}), where they had {WORK_S * len(after):.0f} s to go; {told['busy']} still run"
    )
    return int(len(after) < given.calls or billed_s > given.calls * given.beat or told["busy"] > 0)


def _press(executor: Any, calls: int, beat_s: float) -> float:
    """Ctrl-C as soon as all calls have said that they run; when that was."""
    import ROOT

    begun: set[int] = set()
    pressed: list[float] = []

    def hear(event: Any) -> None:
        if type(event).__name__ == "CallBegan":
            begun.add(event.call_id)
        if len(begun) == calls and not pressed:
            pressed.append(time.time())
            os.kill(os.getpid(), signal.SIGINT)

    options = {"ranges_per_call": 1, "progress": False, "beat_s": beat_s, "backups": False}
    frame = ROOT.RDataFrame(calls, executor=executor, npartitions=calls, options=options)
    frame._headnode.backend.consumers = (hear,)
    try:
        frame.Count().GetValue()
    except KeyboardInterrupt:
        return pressed[0]
    raise AssertionError("the run ended without an interrupt")


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(main())
