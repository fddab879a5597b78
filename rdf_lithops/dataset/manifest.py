"""Which files a Snapshot consists of: a small file beside them, whose appearing is the Snapshot's.

``skim.rdf_lithops.json`` names the files of ``skim.root`` in their order. It is written once, by one rename or one PUT, when
all of them are there; whoever asks for it (``snapshots.parts``) has the old dataset or the new one. What it says is still to
be moved or removed is done again by whoever comes next, should the driver have been killed: each such step may be repeated.
A run that has not come so far is known by a record of its own, ``skim.<run>.rdf_lithops-run``. No name that is in neither
is ever removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from ..files import stores
from . import driver_processes

__all__ = [
    "END",
    "PAST_RUNS",
    "RUN_END",
    "File",
    "Manifest",
    "Seen",
    "begin",
    "commit",
    "forget",
    "is_local",
    "look",
    "mark_of",
    "remains",
    "settle",
    "take_back",
]

END = ".rdf_lithops.json"
RUN_END = ".rdf_lithops-run"
FORMAT = 1
MARKED_BYTES = 100  # of a ROOT file: its header, with an identifier that no other file has
PAST_RUNS = 32  # whose late duplicates are still known


@dataclass(frozen=True)
class File:
    """One file beside the manifest.

    ``mark`` tells its contents from another file's of that name; it is empty where the name itself has the run in it.
    ``staged`` is the name that the file has until the dataset is published, empty where that is its own.
    """

    name: str
    size: int
    mark: str = ""
    staged: str = ""


@dataclass(frozen=True)
class Manifest:
    """A published dataset: its ``run``, its ``files`` in order, the ``old`` files that it replaces, the runs before it."""

    run: str
    files: tuple[File, ...]
    old: tuple[File, ...] = ()
    past: tuple[str, ...] = ()

    def dumped(self) -> str:
        """Return the manifest as JSON text, as it is stored."""
        what = "The files of a Snapshot by rdf_lithops, in their order; rdf_lithops.parts reads this."
        return json.dumps({"what": what, "format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def loaded(cls, text: str) -> Manifest:
        """Read what ``dumped`` gave; ValueError for another format."""
        said = json.loads(text)
        if said.get("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}, got {said.get('format')}")
        files, old = (tuple(File(**item) for item in said[name]) for name in ("files", "old"))
        return cls(said["run"], files, old, tuple(said["past"]))


@dataclass(frozen=True)
class Seen:
    """What lies in the folder of a dataset now.

    The names that begin as the dataset's do, with their sizes; its manifest; the records of runs that are writing it, or
    were.
    """

    folder: str
    stem: str
    sizes: Mapping[str, int]
    manifest: Manifest | None
    runs: Mapping[str, dict[str, Any]]

    def has(self, file: File) -> bool:
        """Return whether that very file is there, and no other one of its name."""
        there = self.sizes.get(file.name) == file.size
        return there and (not file.mark or mark_of(self.folder + file.name) == file.mark)

    def own(self) -> list[File]:
        """The files that are known to be this dataset's, or to be left over from those that it has replaced."""
        if self.manifest is None:
            return []
        past = [File(name, size) for name, size in self.sizes.items() if self._of_runs(name, self.manifest.past)]
        own = {file.name: file for file in (*past, *self.manifest.old, *self.manifest.files) if self.has(file)}
        return list(own.values())

    def _of_runs(self, name: str, runs: Iterable[str]) -> bool:
        found = run_of(self.stem, name)
        return found is not None and any(found[:-1] == run[:-1] for run in runs)

    def alike(self) -> list[str]:
        """The names of the form that a run's files have which neither the manifest nor a record knows."""
        own = {file.name for file in self.own()}
        known = [*self.runs, *([self.manifest.run] if self.manifest else [])]
        return [
            name
            for name in sorted(self.sizes)
            if run_of(self.stem, name) and name not in own and not self._of_runs(name, known)
        ]


def is_local(folder: str) -> bool:
    """Return whether ``folder`` is one of this machine's, where files are renamed and have marks."""
    return not urlsplit(folder).scheme


def run_of(stem: str, name: str) -> str | None:
    """Return the run that a file's name holds, eight hexadecimal digits; None if it holds none."""
    found = re.fullmatch(re.escape(stem) + r"_([0-9a-f]{8})_\d{5,}(_[01])*\.root", name)
    return found[1] if found else None


def mark_of(path: str) -> str:  # decision 88
    """Return what tells the local file at ``path`` from all others but its copies: a digest of its first bytes; "" if it is
    gone."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read(MARKED_BYTES)).hexdigest()[:32]
    except FileNotFoundError:
        return ""


def look(folder: str, stem: str) -> Seen:
    """Return what lies in ``folder`` of the dataset ``stem`` now. Raises stores.StoreFailure."""
    sizes = {url.removeprefix(folder): size for url, size in stores.sizes(folder, stem).items()}
    form = re.compile(re.escape(stem) + r"\.([0-9a-f]{8})" + re.escape(RUN_END))
    found = {match[1]: name for name in sizes if (match := form.fullmatch(name))}
    runs = {run: text for run, name in found.items() if (text := _read(folder + name)) is not None}
    said = _read(f"{folder}{stem}{END}") if f"{stem}{END}" in sizes else None
    manifest = _manifest(folder, stem, said) if said else None
    return Seen(folder, stem, sizes, manifest, {run: _json(text) for run, text in runs.items()})


def _manifest(folder: str, stem: str, text: str) -> Manifest:
    try:
        return Manifest.loaded(text)
    except (ValueError, KeyError, TypeError) as error:
        why = f"it is not a manifest that this version of rdf_lithops can read ({error})"
        raise stores.StoreFailure(f"cannot read {folder}{stem}{END}", why, True) from error


def _json(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        said = json.loads(text)
        return said if isinstance(said, dict) else {}
    return {}


def begin(folder: str, stem: str, run: str) -> None:
    """Write the record that says that a ``run`` of this driver is going to write there. Raises stores.StoreFailure."""
    _write(_record(folder, stem, run), json.dumps(driver_processes.describe()))


def take_back(seen: Seen, run: str) -> None:
    """Remove what a ``run`` that has ended wrote beside what is published. Raises stores.StoreFailure."""
    published = {file.name for file in seen.manifest.files} if seen.manifest else set()
    names = [name for name in seen.sizes if (found := run_of(seen.stem, name)) and found[:-1] == run[:-1]]
    stores.remove(seen.folder + name for name in names if name not in published)
    for beginning in (f"{seen.stem}_{run[:-1]}", f"{seen.stem}.{run}", f"{seen.stem}{END}"):
        stores.store_of(seen.folder).abandon(seen.folder, beginning)


def forget(seen: Seen, run: str) -> None:
    """Remove the record of a ``run``, if there is one. Raises stores.StoreFailure."""
    stores.remove([_record(seen.folder, seen.stem, run)])


def remains(seen: Seen) -> None:
    """Finish what a driver that was killed has published and not tidied up. Raises stores.StoreFailure."""
    if seen.manifest is not None:
        try:
            settle(seen.folder, seen.manifest)
        except OSError as error:  # its parts must not be taken for what it left
            raise stores.StoreFailure(f"cannot publish {seen.folder}{seen.stem}.root", f"{error.strerror}", True) from error
        new = {file.name for file in seen.manifest.files}
        stores.remove(seen.folder + file.name for file in seen.manifest.old if file.name not in new and seen.has(file))


def settle(folder: str, manifest: Manifest) -> None:  # decision 87
    """Give the files of a published dataset their own names. Raises OSError where that may not be.

    Most often it was done before. What lies under a staged name and is another file is the part of a call that nobody waited
    for any more: it does not get the name.
    """
    for file in manifest.files:
        if file.staged and mark_of(folder + file.staged) == file.mark:
            with contextlib.suppress(FileNotFoundError):  # somebody else has just done it
                os.replace(folder + file.staged, folder + file.name)


def commit(seen: Seen, manifest: Manifest) -> None:  # decision 86
    """Publish a dataset, all of whose files are there; from here on it is the dataset of its name.

    Raises stores.StoreFailure, and nothing has happened, if the manifest cannot be written.
    """
    _write(f"{seen.folder}{seen.stem}{END}", manifest.dumped())


def _record(folder: str, stem: str, run: str) -> str:
    return f"{folder}{stem}.{run}{RUN_END}"


def _read(url: str) -> str | None:
    """Return the text that is stored at ``url``; None if it has just gone."""
    with tempfile.TemporaryDirectory(prefix="rdf_lithops-manifest-") as folder:
        path = os.path.join(folder, "text")
        try:
            stores.fetch(url, path)
        except stores.StoreFailure:
            if url in stores.sizes(*stores.split(url)):
                raise
            return None
        with open(path) as stream:
            return stream.read()


def _write(url: str, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rdf_lithops-manifest-") as folder:  # gc knows folders of such names
        path = os.path.join(folder, "text")
        with open(path, "w") as stream:
            stream.write(text)
        stores.put(path, url, replace=True)
