"""In which order partials are folded: that of the plan, whatever became of its calls. Pure.

A fold of floating-point sums depends on its grouping. Ranges are folded within the call that the plan put them in, then
calls, each in order: a call whose ranges had to run one by one gives the same bits as if it had run whole. The parts of a
range that was cut in two are folded first; they are another sum, and give the same bits each time that the same cut is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .envelope import Envelope, EnvelopeError

__all__ = ["Tree", "check_each_range_once", "flat", "fold_order"]

Tree = list["int | Tree"]


def fold_order(envelopes: Sequence[Envelope], groups: Sequence[tuple[int, ...]]) -> Tree:
    """Positions of ``envelopes`` as a nested list: what is in an inner list is folded first, from left to right.

    ``groups`` are the range ids of each call of the plan. Each range must be there once (see check_each_range_once).
    """
    ordered = sorted(range(len(envelopes)), key=lambda position: (envelopes[position].range_ids, envelopes[position].piece))
    call_of = {range_id: number for number, range_ids in enumerate(groups) for range_id in range_ids}
    calls: dict[int, dict[tuple[int, ...], Tree]] = {}
    for position in ordered:
        range_ids = envelopes[position].range_ids
        call = calls.setdefault(call_of.get(range_ids[0], -1 - position), {})
        call.setdefault(range_ids, []).append(position)
    return [_bare([_bare(pieces) for pieces in call.values()]) for call in calls.values()]


def flat(tree: Tree) -> list[int]:
    """The positions in a tree, from left to right: the order in which a fold takes them up."""
    return [position for branch in tree for position in ([branch] if isinstance(branch, int) else flat(branch))]


def _bare(branch: Tree) -> int | Tree:
    return branch[0] if len(branch) == 1 else branch


def check_each_range_once(expected: Sequence[int], envelopes: Sequence[Envelope]) -> None:
    """Raise EnvelopeError, naming the ranges, unless the partials are those of ``expected``, each one once and whole."""
    shares: dict[int, Fraction] = {}
    for envelope in envelopes:
        for range_id in envelope.range_ids:
            shares[range_id] = shares.get(range_id, Fraction(0)) + Fraction(1, 2 ** len(envelope.piece))
    missing = sorted(range_id for range_id in set(expected) if shares.get(range_id, Fraction(0)) < 1)
    doubled = sorted(range_id for range_id, share in shares.items() if share > 1)
    unknown = sorted(set(shares) - set(expected))
    if missing or doubled or unknown:
        raise EnvelopeError(f"expected each range once; missing {missing}, more than once {doubled}, unknown {unknown}")
