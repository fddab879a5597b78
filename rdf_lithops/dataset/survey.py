"""Read the layout of files: their clusters, and what they hold of some columns. Opens files; reads their metadata alone.

Layouts are kept for the life of the program, each under the version of its file that was looked at; where nobody knows the
version, it is read anew each time. Entry numbers are counted from them, so one that is out of date would be a wrong number.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

# isort: split
import ROOT

from ..compiled import ours, signals
from ..files.fingerprints import fingerprints
from .layout import FileLayout

__all__ = ["read_layouts", "size_on_disk"]

logger = logging.getLogger(__name__)

MAX_LAYOUTS = 20_000  # a few kB each
REMOTE_THREADS = 32  # files over the network are waited for, not worked for
Key = tuple[str, str, frozenset[str] | None, str]
_layouts: OrderedDict[Key, FileLayout] = OrderedDict()
_layouts_lock = Lock()
_surveys_lock = Lock()

_GIVE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_longlong), ctypes.c_size_t, ctypes.c_char_p)


def size_on_disk(files: Sequence[str]) -> int | None:
    """Return the bytes of ``files`` together; None if one of them is not a file of this machine."""
    try:
        return sum(os.stat(name).st_size for name in set(files))
    except OSError:
        return None


def read_layouts(  # decision 58
    files: Sequence[str],
    trees: Sequence[str],
    columns: frozenset[str] | None,
    is_ntuple: bool,
    versions: Mapping[str, str] | None = None,
) -> list[FileLayout] | None:
    """Return the layout of each file's tree (or RNTuple), with the bytes of ``columns`` (None: of all); None if a file is
    unreadable.

    Files over the network are opened at the same time. ``versions``, by name, are those in which files are opened while this
    lasts; a file that has none there, and no fingerprint, is looked at each time. What is wrong with a file is for the
    worker to say, which will read it.
    """
    known_as = {**fingerprints(file for file in files if file not in (versions or {})), **(versions or {})}
    keys = [(file, tree, columns, known_as.get(file, "")) for file, tree in zip(files, trees, strict=True)]
    with _layouts_lock:
        known = {key: _layouts[key] for key in keys if key in _layouts}
    missing = list(dict.fromkeys(key for key in keys if key not in known))
    try:
        known.update(zip(missing, _read_all(missing, is_ntuple), strict=True))
    except Exception as problem:  # whatever C++ throws
        logger.info("ranges are cut by fractions of files, as their layout could not be read: %s", problem)
        return None
    with _layouts_lock:
        _layouts.update((key, known[key]) for key in missing if key[-1])
        while len(_layouts) > MAX_LAYOUTS:
            _layouts.popitem(last=False)
    return [known[key] for key in keys]


def _read_all(keys: Sequence[Key], is_ntuple: bool) -> list[FileLayout]:
    with _surveys_lock:
        read = functools.partial(_read, _surveyor(is_ntuple))  # compiled in this thread
        remote = sum("://" in file for file, *_ in keys)
        if remote < 2:
            return list(map(read, keys))
        ROOT.EnableThreadSafety()
        with ThreadPoolExecutor(min(REMOTE_THREADS, len(keys)), thread_name_prefix="rdf_lithops-survey") as pool:
            return list(pool.map(read, keys))


def _read(survey: Any, key: Key) -> FileLayout:
    file, tree, columns, *_ = key
    numbers: list[int] = []
    problems: list[str] = []

    def take(first: Any, count: int, problem: bytes | None) -> None:
        numbers.extend(first[:count] if count else ())
        problems.extend([] if problem is None else [problem.decode(errors="replace")])

    wanted = None if columns is None else "\n".join(sorted(columns)).encode()
    with signals.held():
        survey(os.fsencode(file), tree.encode(), wanted, _GIVE(take))
    if problems:
        raise RuntimeError(problems[0])
    *numbers, has = numbers
    half = len(numbers) // 2
    return FileLayout(file, tree, tuple(numbers[:half]), tuple(numbers[half:]), has)


@functools.cache
def _surveyor(is_ntuple: bool) -> Any:
    """Return the compiled survey. Other Python threads run while it reads."""
    name = "survey_ntuple" if is_ntuple else "survey_tree"
    return ours.function(name, name, None, *(ctypes.c_char_p,) * 3, _GIVE)
