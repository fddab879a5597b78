"""Whether what a graph has Cling instantiate in each new worker is compiled here first, before its calls. Pure.

    calls that compile x seconds x price   what it would cost to leave it to them
    seconds of the compiler here           what somebody waits, instead

A function and its libraries travel together, so they cannot be made while the environments of the same run start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Making"]

START_S, LINE_S = 5.0, 0.7  # of g++: reading ROOT's headers, and each instantiation
LEFT = 0.1  # of a compilation, with a library
USD_PER_WAITED_S = 0.01  # somebody's time: 36 USD an hour
CORE_S_PER_WAITED_S = 1000.0  # where nobody asks for money: about as much, at the price of a core


@dataclass(frozen=True)
class Making:
    """``cold`` calls compile the graph, ``compile_s`` each, of which ``missing`` instantiations are in no library (None: it
    has not run in this program, so nobody knows). ``why_not`` says why nothing can be compiled here; ``usd_per_s`` is what
    a call costs a second, None where nobody bills."""

    cold: int
    compile_s: float
    missing: int | None
    why_not: str = ""
    usd_per_s: float | None = None

    @property
    def spared_s(self) -> float:
        """Seconds of all calls together that a library would spare."""
        return self.cold * self.compile_s * (1 - LEFT)

    @property
    def build_s(self) -> float:
        """Seconds of the compiler here."""
        return START_S + LINE_S * (self.missing or 0)

    @property
    def waited_s(self) -> float:
        """How much later the first call ends if the library is made first."""
        return max(0.0, self.build_s - self.compile_s * (1 - LEFT))

    @property
    def first(self) -> bool:  # decision 313
        """Whether the library is made before the calls."""
        if not self.missing or not self.cold or self.why_not:
            return False
        if self.usd_per_s is None:
            return self.spared_s >= CORE_S_PER_WAITED_S * self.waited_s
        return self.spared_s * self.usd_per_s >= USD_PER_WAITED_S * self.waited_s

    def __str__(self) -> str:
        spared = f"{self.spared_s:.2g} s" + (f", {self.spared_s * self.usd_per_s:.2g} USD" if self.usd_per_s else "")
        if not self.cold:
            return "no call compiles this graph"
        if self.missing is None:
            known = f"what this graph needs is known when it has run once; {self.cold} calls compile what is in none"
            return f"{known}, at most {spared}"
        if not self.missing:
            return "they have all that this graph asked Cling for when it last ran"
        none = f"{self.missing} instantiations are in none"
        if self.first:
            return f"{none}: compiled here first, {self.build_s:.0f} s, which spares {self.cold} calls {spared}"
        left = f"{none}: {self.cold} calls compile them, {spared}"
        if self.why_not:
            return f"{left}; {self.why_not}"
        return f"{left}, for which {self.build_s:.0f} s of a compiler here are not worth waiting; made when the program ends"

    def as_plain(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "missing": self.missing,
            "cold_calls": self.cold,
            "spared_s": self.spared_s,
            "spared_usd": None if self.usd_per_s is None else self.spared_s * self.usd_per_s,
            "build_s": self.build_s,
            "built_first": self.first,
            "why_not": self.why_not,
        }
