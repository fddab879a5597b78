"""In which order partials are folded: that of the plan, whatever became of its calls; and by one call or a tree. Pure.

A fold of floating-point sums depends on its grouping. Ranges are folded within the call that the plan put them in, then
calls, each in order: a call whose ranges had to run one by one gives the same bits as if it had run whole. The parts of a
range that was cut in two are folded first; they are another sum, and give the same bits each time that the same cut is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..travels.envelope import Envelope, EnvelopeError

__all__ = ["FoldLimits", "Tree", "check_each_range_once", "flat", "fold_order", "one_fold_s"]

Tree = list["int | Tree"]
PARTIAL_S, RESULT_S, BYTES_PER_S = 1e-3, 0.19e-3, 200e6  # what folding takes (benchmarks/fold.py, benchmarks/large.py)
SMALL_S = 0.1e-3  # of a small partial, beside its results, where many come together (decision 345)
AT_A_TIME = 2  # calls that fold beside each other at least: the choice must not depend on the place, as the bits do


def one_fold_s(results: int, size_bytes: float) -> float:
    """Return the seconds that it takes to fold in one partial of so many results, which together have so many bytes."""
    return PARTIAL_S + RESULT_S * results + size_bytes / BYTES_PER_S


@dataclass(frozen=True)
class FoldLimits:
    """How much one call folds.

    At most so many ``partials`` and ``bytes``, and no more than it folds sooner than a tree of calls, which takes
    ``round_s`` seconds beside its folding (inf: time is no reason for a tree). It folds two partials whatever their size.
    """

    partials: int = 2**31
    bytes: int = 2**63
    round_s: float = math.inf

    def ask_for_a_tree(self, partials: int, all_bytes: float, one_s: float) -> bool:  # decision 61
        """Return whether several calls are to fold so many partials and bytes; ``one_s`` is the seconds that one partial
        takes."""
        if partials <= 2:
            return False
        if partials > self.partials or all_bytes > self.bytes:
            return True
        count = self.groups(partials, all_bytes / partials)
        in_turn = math.ceil(count / AT_A_TIME) * math.ceil(partials / count) + count
        return (partials - in_turn) * one_s > self.round_s

    def allow_at_once(self, partials: int, all_bytes: float, results: int, within_s: float = math.inf) -> bool:
        """Return whether one call may fold so many small partials of several groups, each of so many results, sooner than a
        round of calls would end, and within so many seconds."""
        all_s = partials * (SMALL_S + RESULT_S * results)
        return partials <= self.partials and all_bytes <= self.bytes and all_s <= min(self.round_s, within_s)

    def groups(self, partials: int, partial_bytes: float) -> int:
        """Return into how many groups to put partials, so that groups, and what comes of them, are alike and within the
        limits."""
        most = max(2, min(self.partials, int(self.bytes / max(1.0, partial_bytes))))
        return max(math.ceil(partials / most), min(math.ceil(math.sqrt(partials)), partials // 2))


def fold_order(envelopes: Sequence[Envelope], groups: Sequence[tuple[int, ...]]) -> Tree:  # decision 49
    """Return the positions of ``envelopes`` as a nested list: an inner list is folded first, each from left to right.

    ``groups`` are the range ids of each call of the plan. Each range must be there once (see check_each_range_once).
    """
    ordered = sorted(range(len(envelopes)), key=lambda position: (envelopes[position].range_ids, envelopes[position].half))
    call_of = {range_id: number for number, range_ids in enumerate(groups) for range_id in range_ids}
    calls: dict[int, dict[tuple[int, ...], Tree]] = {}
    for position in ordered:
        range_ids = envelopes[position].range_ids
        call = calls.setdefault(call_of.get(range_ids[0], -1 - position), {})
        call.setdefault(range_ids, []).append(position)
    return [_bare([_bare(halves) for halves in call.values()]) for call in calls.values()]


def flat(tree: Tree) -> list[int]:
    """Return the positions in a tree, from left to right: the order in which a fold takes them up."""
    return [position for branch in tree for position in ([branch] if isinstance(branch, int) else flat(branch))]


def _bare(branch: Tree) -> int | Tree:
    return branch[0] if len(branch) == 1 else branch


def check_each_range_once(expected: Sequence[int], envelopes: Sequence[Envelope]) -> None:
    """Raise EnvelopeError, naming the ranges, unless the partials are those of ``expected``, each one once and whole."""
    shares: dict[int, float] = {}  # sums of powers of two, which are exact
    for envelope in envelopes:
        for range_id in envelope.range_ids:
            shares[range_id] = shares.get(range_id, 0.0) + 0.5 ** len(envelope.half)
    missing = sorted(range_id for range_id in set(expected) if shares.get(range_id, 0.0) < 1)
    doubled = sorted(range_id for range_id, share in shares.items() if share > 1)
    unknown = sorted(set(shares) - set(expected))
    if missing or doubled or unknown:
        raise EnvelopeError(f"expected each range once; missing {missing}, more than once {doubled}, unknown {unknown}")
