"""Slurm's own words: its states of a job and what they mean, the directives of a site."""

from __future__ import annotations

from .states import ENDED, RUNNING, WAITING, Element

__all__ = ["DIRECTIVES", "element_of"]

DIRECTIVES = ("partition", "account", "qos", "constraint")
# what squeue and sacct call the states of a job (squeue(1), "JOB STATE CODES")
_PHASES = {
    "PENDING": WAITING, "CONFIGURING": WAITING, "REQUEUED": WAITING, "REQUEUE_FED": WAITING, "REQUEUE_HOLD": WAITING,
    "SPECIAL_EXIT": WAITING, "RESV_DEL_HOLD": WAITING, "RUNNING": RUNNING, "COMPLETING": RUNNING, "SUSPENDED": RUNNING,
    "STOPPED": RUNNING, "STAGE_OUT": RUNNING, "SIGNALING": RUNNING, "RESIZING": RUNNING,
}  # fmt: skip
_ENDS = {
    "COMPLETED": ("", "it ended"),
    "OUT_OF_MEMORY": ("memory", "it had more memory than its job may have"),
    "TIMEOUT": ("time", "it took longer than its job may take"),
    "DEADLINE": ("time", "it reached its deadline"),
    "PREEMPTED": ("lost", "a job of higher priority took its place"),
    "NODE_FAIL": ("lost", "its node went away"),
    "BOOT_FAIL": ("lost", "its node did not start"),
    "CANCELLED": ("lost", "somebody cancelled it"),
    "FAILED": ("lost", "it failed"),
    "REVOKED": ("lost", "it was revoked"),
}


def element_of(state: str, reason: str, node: str) -> Element:
    """What Slurm's state of an element means; ``reason`` and ``node`` as squeue prints them."""
    name = state.split()[0].rstrip("+") if state else ""
    if name in _PHASES:
        return Element(_PHASES[name], words=reason if _PHASES[name] == WAITING and reason not in ("None", "") else "")
    cause, words = _ENDS.get(name, ("lost", "it ended"))
    if reason == "OutOfMemory":
        cause, words = _ENDS["OUT_OF_MEMORY"]
    more = f", {reason}" if reason not in ("None", "", "(null)") else ""
    return Element(ENDED, cause, f"{name}{more}{f' on {node}' if node and node != '(null)' else ''}: {words}")
