"""Which files a range of a dataset with friends needs. Pure: no ROOT, no Lithops.

Friends are aligned by entry number, so a range cannot begin just anywhere in their files: it gets all files from the last
entry on at which a file of the dataset and one of each friend begin together. Where friends are cut as the dataset is,
that is the range's own first file; where they never meet again, it is the first file of all.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .layout import FileLayout

__all__ = ["Friend", "entries_before", "first_needed", "narrowed"]


@dataclass(frozen=True)
class Friend:
    """One friend: its name and alias, the files of its chain, the tree in each, and the entries before each file (one number
    more)."""

    name: str
    alias: str
    files: tuple[str, ...]
    trees: tuple[str, ...]
    before: tuple[int, ...]

    def begins_at(self, entry: int) -> int | None:
        """Return the index of the last of its files whose first entry is ``entry``; None if none is."""
        found = bisect.bisect_right(self.before, entry, 0, len(self.files)) - 1
        return found if self.before[found] == entry else None


def entries_before(layouts: Sequence[FileLayout]) -> tuple[int, ...]:
    """Return, for each file, the entry number of its first entry, and at last the number of all entries."""
    return tuple(itertools.accumulate((layout.entries for layout in layouts), initial=0))


def first_needed(before: Sequence[int], friends: Sequence[Friend], first_file: int) -> int | None:  # decision 63
    """Return the index of the last file of the dataset, up to ``first_file``, at whose first entry a file of each friend
    begins, too.

    None for friends that are shorter than the dataset: what that means is for ROOT to say.
    """
    if any(friend.before[-1] < before[-1] for friend in friends):
        return None
    together = (
        file for file in range(first_file, -1, -1) if all(friend.begins_at(before[file]) is not None for friend in friends)
    )
    return next(together, None)


def narrowed(friends: Sequence[Friend], first: int, end: int) -> Any:
    """Return an object like ROOT's RFriendInfo: those files of ``friends`` that hold the entries [first, end); files begin
    at ``first``."""
    found = SimpleNamespace(fFriendNames=[], fFriendFileNames=[], fFriendChainSubNames=[])
    for friend in friends:
        start = friend.begins_at(first)
        assert start is not None, "first_needed gives no other entry"
        stop = max(start + 1, bisect.bisect_left(friend.before, end))
        found.fFriendNames.append((friend.name, friend.alias))
        found.fFriendFileNames.append(list(friend.files[start:stop]))
        found.fFriendChainSubNames.append(list(friend.trees[start:stop]))
    return found
