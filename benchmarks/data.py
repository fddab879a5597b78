"""The inputs: made once, by ROOT itself, into a folder outside version control, and kept.

A file's name says which entries of which generator it holds, and a file gets its name once it is complete. The folder is
``$RDF_LITHOPS_BENCH_DATA``, by default ``benchmarks/out/data``. Run as a program, this module writes one dataset.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DATASETS", "Dataset", "evict", "read_once"]

GENERATOR = Path(__file__).with_name("generate.hpp")
BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Dataset:
    """``events`` entries of the generator's ``function`` in ``files`` files of equal size, tree ``tree``."""

    function: str
    tree: str
    events: int
    files: int = 4

    def scaled(self, scale: float) -> Dataset:
        """The same with ``scale`` times the events, at least ten in each file."""
        per_file = max(10, round(self.events * scale / self.files))
        return Dataset(self.function, self.tree, per_file * self.files, self.files)

    @property
    def edges(self) -> list[int]:
        """First entry of each file, then the number of events."""
        return [self.events * i // self.files for i in range(self.files + 1)]

    @property
    def paths(self) -> list[Path]:
        """Where the files are, or will be."""
        version = hashlib.sha256(GENERATOR.read_bytes()).hexdigest()[:8]
        stem = f"{self.function.lower()}_{version}"
        pairs = zip(self.edges, self.edges[1:], strict=False)
        return [_folder() / f"{stem}_{first:09d}-{last:09d}.root" for first, last in pairs]

    def write(self) -> None:
        """Write the files that are not there. Needs ROOT: the runner calls it in a process of its own."""
        import ROOT

        ROOT.gInterpreter.Declare(f'#include "{GENERATOR}"')
        generate = getattr(ROOT.benchmarks, self.function)
        _folder().mkdir(parents=True, exist_ok=True)
        for path, first, last in zip(self.paths, self.edges, self.edges[1:], strict=False):
            if not path.exists():
                unfinished = path.with_suffix(f".{os.getpid()}.part")
                generate(str(unfinished), first, last)
                _flush(unfinished)
                unfinished.replace(path)


DATASETS = {
    "dimuon_1m": Dataset("Dimuon", "Events", 1_000_000),
    "dimuon_4m": Dataset("Dimuon", "Events", 4_000_000),
    "dimuon_16m": Dataset("Dimuon", "Events", 16_000_000),
    "tracks": Dataset("Tracks", "Tracks", 1_000_000),
    "scan": Dataset("Scan", "Events", 400_000),
}


def _folder() -> Path:
    return Path(os.environ.get("RDF_LITHOPS_BENCH_DATA") or Path(__file__).with_name("out") / "data").resolve()


def _flush(path: Path) -> None:
    """To the disk: pages that are not there yet cannot be dropped from memory by ``evict``."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def evict(paths: Iterable[str]) -> None:
    """Drop the files from the operating system's cache, so that the next reader reads them from the disk."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_once(paths: Iterable[str]) -> None:
    """Bring the files into the operating system's cache, so that no place pays for being the first to read them."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(BLOCK_BYTES):
                pass


if __name__ == "__main__":
    DATASETS[sys.argv[1]].scaled(float(sys.argv[2])).write()
