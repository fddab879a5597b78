"""Everything that this package raises on purpose. Each error keeps its parts as fields and renders them in ``str``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "CredentialsError",
    "DataAccessError",
    "GraphsError",
    "LostRangesError",
    "OutputError",
    "PayloadError",
    "PlanError",
    "RangeError",
    "RdfLithopsError",
    "RunError",
    "RuntimeImageError",
    "SubmissionError",
]


FIRST_LINES, KINDS, LINE_CHARACTERS, MOST_NAMES = 44, 10, 400, 8  # of what is told of many failures: a screen


class RdfLithopsError(Exception):
    """Base of all errors of this package. Its text ends with the command that says more about errors of its kind.

    A kind is a class: ``LostRangesError`` is explained under ``lost-ranges`` in ``troubleshooting.md``. Classes say in
    ``_text`` what has happened.
    """

    def __str__(self) -> str:
        return f"{self._text()}\n  help:  rdf-lithops explain {self.topic()}"

    def _text(self) -> str:
        return super().__str__()

    @classmethod
    def topic(cls) -> str:
        """The heading of its paragraph: the name of the class in small letters, without its ending."""
        words = re.findall("[A-Z][a-z]*", cls.__name__.removesuffix("Error"))
        return "-".join(words).lower()


class PlanError(RdfLithopsError, ValueError, RuntimeError):  # decision 410
    """A run that cannot be planned as asked: expected, then got."""


class PayloadError(RdfLithopsError, RuntimeError):
    """A header, library, file, piece of C++ or ``initialize`` function that is missing or does not load.

    ``what`` names it, ``why`` says what is wrong, ``log_tail`` is what ROOT printed where it failed.
    """

    def __init__(self, what: str, why: str, log_tail: str = "") -> None:
        super().__init__(what, why, log_tail)
        self.what, self.why, self.log_tail = what, why, log_tail

    def _text(self) -> str:
        said = "error:" in self.why  # the compiler's words, with which the log ends, too
        return _render(f"{self.what}: {self.why}", log_tail="" if said else self.log_tail)


class CredentialsError(RdfLithopsError, RuntimeError):
    """A credential that a run needs and that cannot be used: what, why, and the command that renews it. Holds no secret."""

    def __init__(self, what: str, why: str = "", next_command: str = "") -> None:
        super().__init__(what, why, next_command)
        self.what, self.why, self.next_command = what, why, next_command

    def _text(self) -> str:
        return _render(self.what, why=self.why, next_command=self.next_command)


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

    def _text(self) -> str:
        return _render(self.what, where=self.where, why=self.why, log_tail=self.log_tail, next_command=self.next_command)


class RangeError(RunError):
    """The user's graph or data failed in one range; ``type_name`` is the class of the original exception."""

    type_name = ""


class DataAccessError(RunError):
    """Data that cannot be read: ``kind`` is a word ("missing", "denied", …), ``url`` comes without a signature."""

    kind = ""
    url = ""

    @classmethod
    def of(cls, failed: dict[str, str], where: str = "", range_ids: tuple[int, ...] = ()) -> DataAccessError:
        """From the fields of the far side's AccessFailure."""
        error = cls(
            f"{failed['url']}: {failed['why']}", where=where, next_command=failed["next_command"], range_ids=range_ids
        )
        error.kind, error.url = failed["kind"], failed["url"]
        return error


class LostRangesError(RunError):
    """Ranges that no partial arrived for; ``range_ids`` names them."""


class GraphsError(RunError):
    """Several graphs of one RunGraphs that failed: ``failures`` has the error of each, ``names`` a result of each, as
    "Histo1D pt". The first is told in full, of the others which and how many there are of a kind."""

    def __init__(self, failures: Sequence[Exception], graphs: int = 0, names: Sequence[str] = ()) -> None:
        super().__init__(f"{len(failures)} of {graphs} graphs failed")
        self.failures = tuple(failures)
        self.names = tuple(names) or tuple(f"no. {number + 1}" for number in range(len(failures)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt_graphs, (self.what, self.failures, self.names)

    def _text(self) -> str:
        first, others = self.failures[0], list(zip(self.failures, self.names, strict=True))[1:]
        head = f"{self.what}; the first, of {self.names[0]}:"
        return "\n".join([head, *_fitted(str(first).splitlines(), FIRST_LINES), *_by_kind(others)])


def _rebuilt_graphs(what: str, failures: tuple[Exception, ...], names: tuple[str, ...]) -> GraphsError:
    error = GraphsError(failures, names=names)
    error.what = what
    return error


def _fitted(lines: Sequence[str], most: int) -> list[str]:
    """``lines``, of many the first and the last ones, each of a length that can be read."""
    left_out = len(lines) - most
    if left_out > 0:
        lines = [*lines[: most // 2], f"… {left_out + 1} lines …", *lines[1 + left_out + most // 2 :]]
    return [f"  {line}" if len(line) <= LINE_CHARACTERS else f"  {line[:LINE_CHARACTERS]} …" for line in lines]


def _by_kind(failures: Sequence[tuple[Exception, str]]) -> list[str]:
    """A line for each kind of failure: how many there are, one of them, and the results that are not there."""
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for failure, result in failures:
        said = " ".join(getattr(failure, "what", str(failure).partition("\n  help:")[0]).split())
        kinds.setdefault((type(failure).__name__, re.sub(r"\d+", "0", said)), []).append((said, result))
    ordered = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    lines = [f"{len(some)} x {name}: {some[0][0]} ({_some([each for _, each in some])})" for (name, _), some in ordered]
    more = [f"and {len(lines) - KINDS} kinds more"] if len(lines) > KINDS else []
    return ["the others:", *_fitted([*lines[:KINDS], *more], KINDS + 1)] if lines else []


def _some(names: Sequence[str]) -> str:
    left_out = len(names) - MOST_NAMES
    return ", ".join([*names[:MOST_NAMES], *([f"{left_out} more"] if left_out > 0 else [])])


class OutputError(RunError):
    """A Snapshot that cannot be written where it is to go, or may not."""


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
