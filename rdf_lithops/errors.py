"""Everything that this package raises on purpose. Each error keeps its parts as fields and renders them in ``str``."""

from __future__ import annotations

from typing import Any

__all__ = [
    "LostRangesError",
    "PayloadError",
    "PlanError",
    "RangeError",
    "RdfLithopsError",
    "RunError",
    "RuntimeImageError",
    "SubmissionError",
]


class RdfLithopsError(Exception):
    """Base of all errors of this package."""


class PlanError(RdfLithopsError, ValueError):
    """A run that cannot be planned as asked: expected, then got."""


class PayloadError(RdfLithopsError, RuntimeError):
    """A header, library, file, piece of C++ or ``initialize`` function that is missing or does not load.

    ``what`` names it, ``why`` says what is wrong, ``log_tail`` is what ROOT printed where it failed.
    """

    def __init__(self, what: str, why: str, log_tail: str = "") -> None:
        super().__init__(what, why, log_tail)
        self.what, self.why, self.log_tail = what, why, log_tail

    def __str__(self) -> str:
        return _render(f"{self.what}: {self.why}", log_tail=self.log_tail)


class RunError(RdfLithopsError, RuntimeError):
    """A run that gave no answer: what failed, where, why, and the next command."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        why: str = "",
        log_tail: str = "",
        next_command: str = "",
        range_ids: tuple[int, ...] = (),
        call_id: int | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.why = what, where, why
        self.log_tail, self.next_command = log_tail, next_command
        self.range_ids, self.call_id = range_ids, call_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.what, {k: v for k, v in self.__dict__.items() if k != "what"})

    def __str__(self) -> str:
        return _render(self.what, where=self.where, why=self.why, log_tail=self.log_tail, next_command=self.next_command)


class RangeError(RunError):
    """The user's graph or data failed in one range; ``type_name`` is the class of the original exception."""

    type_name = ""


class LostRangesError(RunError):
    """Ranges that no partial arrived for; ``range_ids`` names them."""


class SubmissionError(RunError):
    """Lithops could not start an attempt for a reason that may pass: a storage or a backend that did not answer."""


class RuntimeImageError(RunError):
    """The workers' image cannot be built, deployed or tried."""


def _rebuild(kind: type[RunError], what: str, fields: dict[str, Any]) -> RunError:
    error = kind(what)
    error.__dict__.update(fields)
    return error


def _render(what: str, *, where: str = "", why: str = "", log_tail: str = "", next_command: str = "") -> str:
    parts = [what]
    parts += [f"  where: {where}"] if where else []
    parts += [f"  why:   {why}"] if why else []
    parts += ["  the worker's log ends with:", *(f"    {line}" for line in log_tail.splitlines()[-15:])] if log_tail else []
    parts += [f"  next:  {next_command}"] if next_command else []
    return "\n".join(parts)
