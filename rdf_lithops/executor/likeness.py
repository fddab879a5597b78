"""What a run computes, as its record says it: whether another run computes the same, and, if not, what is different. Pure.

One key decides. The digests beside it are for words alone, and so short that nobody finds a value by them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Likeness", "likeness_of"]

DIGITS = 4  # hexadecimal, of a digest that only tells what has changed
MOST_NAMES = 1000  # of files or variables, of which each has a digest of its own
MOST_SAID = 3
WHAT_IT_COMPUTES = ("graph", "reducer")
_WORDS = {
    "files": "file {}",
    "environment": "environment variable {}",
    "options": "options.{}",
    "versions": "{}",
    "seed": "options.seed",
    "user_code": "the C++, headers, libraries or files that it declares or distributes",
    "initialisation": "the function given to initialize",
    "where": "the back end or the storage",
    "runtime": "the runtime",
    "place": "the working folder or umask",
    "dataset": "the dataset",
    "calls": "how the data is cut into calls",
    "graph": "what is computed: a column, a cut, a result or its model",
    "reducer": "what is computed: its results",
}


@dataclass(frozen=True)
class Likeness:
    """``key``: equal for runs that compute the same; ``digests`` of each thing that it is made of, by name, or by name and
    inner name; ``program``: the script and the folder in which it was started."""

    key: str
    digests: dict[str, Any] = field(default_factory=dict, repr=False)
    program: tuple[str, str] = ("", "")

    def fields(self) -> dict[str, Any]:
        """As the record of a run has it."""
        return {"key": self.key, "digests": self.digests, "program": list(self.program)}

    @classmethod
    def read(cls, fields: Any) -> Likeness | None:
        """The inverse of ``fields``; None for what is none."""
        try:
            script, folder = fields["program"]
            return cls(str(fields["key"]), dict(fields["digests"]), (str(script), str(folder)))
        except (TypeError, KeyError, ValueError):
            return None

    def computes_as(self, before: Likeness) -> bool:
        """Whether the graph is that of ``before``, whatever else has changed."""
        return all(self.digests.get(name) == before.digests.get(name) for name in WHAT_IT_COMPUTES)

    def differences(self, before: Likeness) -> list[str]:
        """What is another than ``before``, in words; those of what it computes come last."""
        return list(dict.fromkeys(word for name in _WORDS for word in self._of(name, before)))

    def _of(self, name: str, before: Likeness) -> Iterator[str]:
        now, then = self.digests.get(name), before.digests.get(name)
        if now == then:
            return
        if not (isinstance(now, dict) and isinstance(then, dict)):
            yield _WORDS[name].format("")
            return
        changed = [inner for inner in {**then, **now} if now.get(inner) != then.get(inner)]
        yield from (_WORDS[name].format(inner) for inner in changed[:MOST_SAID])
        if len(changed) > MOST_SAID:
            yield f"{len(changed) - MOST_SAID} more of the kind"


def likeness_of(known: Mapping[str, Any], program: tuple[str, str]) -> Likeness:
    """The likeness of a run that depends on ``known``: values that JSON can hold, or mappings of them, by the names that
    there are words for."""
    whole = {name: _digest(value) for name, value in known.items()}
    digests = {name: _digests(value, whole[name]) for name, value in known.items()}
    return Likeness(_digest(whole), digests, program)


def _digests(value: Any, whole: str) -> Any:
    if not isinstance(value, dict) or len(value) > MOST_NAMES:
        return whole[:DIGITS]
    return {str(inner): _short(each) if isinstance(each, str) else _digest(each)[:DIGITS] for inner, each in value.items()}


@functools.lru_cache(4096)  # a program's environment is the same from run to run
def _short(value: str) -> str:
    return _digest(value)[:DIGITS]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
