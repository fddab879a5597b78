"""A Snapshot's way out, on the driver: where its parts go, whether they may, and that nothing else stays or goes.

The parts of a run have names of their own while they are written, ``skim_<run>_<range>.root``. When all of them are there
the dataset is published, by one act (``manifest.py``): in stores they keep their names, in folders of this machine they get
those of DistRDF, ``skim_0.root`` and so on, and a single one (``joining.py``) that of the dataset. What is replaced or
removed is known to be a Snapshot's; a run that fails takes away what it wrote.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import OutputError
from ..files import stores
from ..files.remote import shown
from ..files.secret_urls import is_signed
from ..files.snapshot_parts import Output, part_url, placeholder
from ..files.store_protocol import PART
from . import driver_processes, identity, manifest
from .manifest import File, Manifest, Seen

__all__ = ["Destination", "begin", "check", "discard", "finish", "merge_ranges", "parts", "planned", "tidy"]

logger = logging.getLogger(__name__)

_ENDING = ".root"


@dataclass(frozen=True)
class Destination:
    """Where one Snapshot goes.

    ``run`` is the run's name in the names of its parts: eight hexadecimal digits, the last of which is 0, and 1 in merged
    files. ``may_overwrite`` is what the Snapshot's own options say; ``given_folder`` how the user spelt a folder of this
    machine, None for another place.
    """

    folder: str
    stem: str
    run: str
    may_overwrite: bool = False
    given_folder: str | None = None

    def spelt(self, name: str) -> str:
        """Return the path or URL of a file of the dataset, as the user would spell it."""
        return self.folder + name if self.given_folder is None else os.path.join(self.given_folder, name)

    @property
    def url(self) -> str:
        """What the user named, in full."""
        return f"{self.folder}{self.stem}.root"

    def fields(self) -> Output:
        """Return what a worker needs to know; with "ending", the names of parts are none that anybody looks for."""
        ending = PART if manifest.is_local(self.folder) else ""
        return {"folder": self.folder, "stem": self.stem, "run": self.run, "ending": ending}

    @property
    def place(self) -> tuple[str, str, str]:
        """What ``tidy`` needs to know, should this driver be killed: folder, stem and run."""
        return self.folder, self.stem, self.run

    def wrote(self, url: str) -> bool:
        """Return whether ``url`` is a part of this Snapshot, in this run."""
        folder, name = stores.split(url)
        form = re.escape(f"{self.stem}_{self.run}_") + r"\d+(_[01])*\.root(" + re.escape(PART) + ")?"
        return folder == self.folder and re.fullmatch(form, name) is not None


def planned(nodes: dict[int, Any]) -> tuple[dict[int, Any], list[Destination]]:
    """Return the Snapshots of a graph, by node, with placeholders for their files; and where these go, in the same order."""
    operations: dict[int, Any] = {}
    destinations: list[Destination] = []
    run = secrets.token_hex(4)[:-1] + "0"
    for node_id, node in nodes.items():
        operation = node.operation
        if getattr(operation, "name", "") != "Snapshot" or len(operation.args) < 2:
            continue
        options = operation.args[3] if len(operation.args) > 3 else None
        may_overwrite = bool(getattr(options, "fOverwriteIfExists", False))
        name = str(operation.args[1])
        destination = _destination(name, run, may_overwrite)
        if not name.endswith(_ENDING):
            raise OutputError(
                f"Snapshot: expected a name that ends in {_ENDING}, got {shown(name)!r}",
                why="the files of a dataset of several have names made of it",
                next_command=f"name it {shown(name)}{_ENDING}",
            )
        if any(identity.same(destination.url, other.url) for other in destinations):
            raise OutputError(f"two Snapshots of one graph write {destination.url}", next_command="give them two names")
        operations[node_id] = copy.copy(operation)
        operations[node_id].args = [operation.args[0], placeholder(len(destinations)), *operation.args[2:]]
        destinations.append(destination)
    return operations, destinations


def _destination(name: str, run: str, may_overwrite: bool = False) -> Destination:
    parts = urlsplit(name)
    remote = bool(parts.scheme)
    of_web = parts.scheme in ("http", "https") and (parts.query or "@" in parts.netloc)
    if of_web or is_signed(name):
        raise OutputError(
            f"cannot write {shown(name)}: expected a URL without a query or a user's name",
            why="a signature is that of one file, and the parts of a Snapshot have names of their own",
            next_command=f"write to s3://, or with a bearer token: rdf-lithops auth status {shown(name)}",
        )
    url = name if remote else os.path.abspath(os.path.expanduser(os.path.expandvars(name)))
    folder, last = stores.split(url)
    given_folder = None if remote else os.path.dirname(name)
    return Destination(folder, last.removesuffix(_ENDING), run, may_overwrite, given_folder)


def check(destinations: Sequence[Destination], may_overwrite: bool, inputs: Collection[str], count: int) -> None:
    """Refuse, before anything runs, a destination that cannot be written, or where writing would take what it may not.

    ``inputs`` are all files that the run reads, ``count`` how many parts it is expected to write. Raises OutputError.
    """
    for destination in destinations:
        with _told(destination):
            stores.store_of(destination.url)
            seen = _recovered(destination)
            _refuse(destination, seen, may_overwrite or destination.may_overwrite, inputs, count)


def begin(destinations: Sequence[Destination]) -> None:
    """Write, beside each destination, the record that says that a run is coming.

    Raises OutputError where this driver cannot write, as it will have to in the end.
    """
    for destination in destinations:
        _quietly(stores.store_of(destination.folder).prepare, destination.folder)  # what follows says it better
        with _told(destination):
            manifest.begin(destination.folder, destination.stem, destination.run)


@contextmanager
def _told(destination: Destination) -> Iterator[None]:
    """Turn a store's refusal into an OutputError with the next step."""
    try:
        yield
    except stores.StoreFailure as failure:
        local = manifest.is_local(destination.folder)
        command = f"ls -ld {destination.folder}" if local else f"rdf-lithops auth status {destination.url}"
        raise OutputError(failure.what, why=failure.why, next_command=command) from failure


def _recovered(destination: Destination) -> Seen:
    """Return what lies at a destination, once all is tidied up that killed drivers have left.

    Raises OutputError while a driver is at work there.
    """
    seen = manifest.look(destination.folder, destination.stem)
    for driver in seen.runs.values():
        if driver_processes.lives(driver):
            why = f"process {driver['pid']} of this machine is writing it"
            what = f"another run writes {destination.url}"
            raise OutputError(what, why=why, next_command="wait for it, or choose another name")
    return _tidied(seen)


def _tidied(seen: Seen) -> Seen:
    """Return what is there after tidying. Records of dead runs stay until a manifest knows them: their calls may go on."""
    manifest.remains(seen)
    for run in (*_dead(seen), *([seen.manifest.run] if seen.manifest else ())):
        manifest.take_back(seen, run)
    return manifest.look(seen.folder, seen.stem)


def _dead(seen: Seen) -> list[str]:
    """Return the recorded runs whose driver was killed, on this machine."""
    return [run for run, driver in seen.runs.items() if driver_processes.lives(driver) is False]


def _refuse(destination: Destination, seen: Seen, may_overwrite: bool, inputs: Collection[str], count: int) -> None:
    """Apply the rules: what we have written is replaced, as local ROOT does; another single file of the very name if that is
    asked for; whatever else is in the way stays. Raises OutputError."""
    own, known = _replaceable(seen), {file.name for file in seen.own()}
    others = [file for file in own if file.name not in known]
    if others and not may_overwrite:
        raise OutputError(
            f"there is a file of the name {destination.url} already, which no Snapshot of this package has written",
            why=_listed(others),
            next_command='choose another name, or options={"overwrite": True}',
        )
    blocked = _blocked(seen, own, count)
    if blocked:
        raise OutputError(
            f"{destination.url} cannot be written beside files that are in its way",
            why=f"nothing says that a Snapshot of this package has written them: {_listed(blocked)}",
            next_command="choose another name, or remove them",
        )
    taken = {destination.url, *(seen.folder + file.name for file in own), *_final_names(seen.folder, seen.stem, count)}
    read = identity.common(taken, inputs)
    if read:
        what, why = f"{destination.url} would be overwritten while it is read", f"the run reads {_listed(read)}"
        raise OutputError(what, why=why, next_command="choose another name")


def _listed(files: Iterable[File | str]) -> str:
    names = [file if isinstance(file, str) else file.name for file in files]
    return f"{len(names)} files, the first is {names[0]}" if len(names) > 2 else ", ".join(names)


def _final_names(folder: str, stem: str, count: int) -> list[str]:
    """Return the names that the files of a dataset will have in a folder of this machine; elsewhere they hold the run."""
    if count == 1 and manifest.is_local(folder):
        return [f"{folder}{stem}.root"]
    return [f"{folder}{stem}_{number}.root" for number in range(count)] if manifest.is_local(folder) else []


def _replaceable(seen: Seen) -> list[File]:
    """Return the files that are known to be the dataset of that name: ours, or a single one of exactly that name."""
    single = f"{seen.stem}.root"
    own = [file for file in seen.own() if file.name != single]
    if single in seen.sizes and not _is_part_of_another(seen, single):
        own.append(File(single, seen.sizes[single], _mark(seen, single)))
    return own


def _mark(seen: Seen, name: str) -> str:
    return manifest.mark_of(seen.folder + name) if manifest.is_local(seen.folder) else ""


def _is_part_of_another(seen: Seen, single: str) -> bool:
    """Return whether ``single`` is a part of a longer dataset: ``skim_1.root`` is one, "skim_1", or a part of "skim"."""
    parent, _, number = seen.stem.rpartition("_")
    if not (parent and number.isdigit() and manifest.is_local(seen.folder)):
        return False
    return single in {file.name for file in manifest.look(seen.folder, parent).own()}


def _blocked(seen: Seen, own: Collection[File], count: int) -> list[str]:
    """Return the names that are in the way and not known to be the dataset's."""
    ours = {file.name for file in own}
    finals = {f"{seen.stem}.root", *(stores.split(name)[1] for name in _final_names(seen.folder, seen.stem, count))}
    return sorted({*(finals & seen.sizes.keys()) - ours, *(name for name in seen.alike() if name not in ours)})


def merge_ranges(  # decision 38
    destination: Destination, parts: Sequence[str], tree: str, file_bytes: float
) -> tuple[list[str], list[dict[str, Any]]]:
    """Plan how ``parts`` become files of about ``file_bytes``.

    Returns the files' names in the parts' order, and a range (``id``, ``tree``, ``sources``, ``target``) for each that is
    made of several parts. A part that is large enough stays as it is.
    """
    sizes = _sizes(destination, parts)
    groups: list[list[str]] = []
    filled = file_bytes
    for part in parts:
        if filled >= file_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(part)
        filled += sizes.get(part, 0)
    merged = {**destination.fields(), "run": destination.run[:-1] + "1"}
    names: list[str] = []
    ranges: list[dict[str, Any]] = []
    for number, sources in enumerate(groups):
        names.append(sources[0] if len(sources) == 1 else part_url(merged, number))
        if len(sources) > 1:
            ranges.append({"kind": "merge", "id": len(ranges), "tree": tree, "sources": sources, "target": names[-1]})
    return names, ranges


def _sizes(destination: Destination, parts: Sequence[str]) -> dict[str, int]:
    if manifest.is_local(destination.folder):
        return {part: os.path.getsize(part) for part in parts if os.path.exists(part)}
    return stores.sizes(destination.folder, f"{destination.stem}_{destination.run[:-1]}")


def finish(written: Mapping[Destination, Sequence[str]]) -> dict[Destination, list[str]]:
    """Publish what a run has ``written``, once all its parts are there; return the datasets' files, as the user would spell
    them.

    What they replace is removed, and what does not belong. Raises OutputError, and the old datasets are what they were: for
    parts in a folder that this machine does not see, for a file that has come in the way meanwhile, for a store that
    refuses.
    """
    urls = [url for files in written.values() for url in files]
    unseen = [url for url in urls if not urlsplit(url).scheme and not os.path.exists(url)]
    if unseen:
        raise OutputError(
            f"the Snapshot part {unseen[0]} is not to be seen from here",
            why="the workers have written it to a folder of their own, which is not shared with this machine",
            next_command="Snapshot to s3:// or root://, or to a folder that the workers share with this machine",
        )
    ready = []
    for destination, files in written.items():
        with _told(destination):
            seen = manifest.look(destination.folder, destination.stem)
            ready.append((destination, seen, _published(destination, seen, files)))
    names = {}
    for destination, seen, published in ready:
        with _told(destination):
            manifest.commit(seen, published)
        names[destination] = _settled(destination, published)
    return names


def _published(destination: Destination, seen: Seen, urls: Sequence[str]) -> Manifest:
    """Make the manifest that makes these parts the dataset of the name. Raises OutputError where a file came in its way."""
    own, names = _replaceable(seen), [stores.split(url)[1] for url in urls]
    blocked = _blocked(seen, own, len(urls))
    if blocked:
        why = f"they came while the run lasted: {_listed(blocked)}"
        raise OutputError(f"{destination.url} cannot be written beside files that are in its way", why=why)
    before = (*seen.manifest.past, seen.manifest.run) if seen.manifest else ()
    past = tuple(dict.fromkeys((*before, *_dead(seen))))[-manifest.PAST_RUNS :]
    if not manifest.is_local(destination.folder):
        sizes = _sizes(destination, urls)
        missing = [url for url in urls if url not in sizes]
        if missing:
            raise OutputError(f"a part of {destination.url} is gone", why=_listed(missing), next_command="run it again")
        files = tuple(File(name, sizes[url]) for name, url in zip(names, urls, strict=True))
        return Manifest(destination.run, files, tuple(own), past)
    finals = [stores.split(name)[1] for name in _final_names(destination.folder, destination.stem, len(urls))]
    files = tuple(
        File(final, os.path.getsize(url), manifest.mark_of(url), name)
        for final, url, name in zip(finals, urls, names, strict=True)
    )
    return Manifest(destination.run, files, tuple(own), past)


def _settled(destination: Destination, published: Manifest) -> list[str]:
    """Do what is left to do for a dataset that is published; return the names of its files."""
    try:
        manifest.settle(destination.folder, published)
    except OSError as error:
        why, command = str(error), "rdf-lithops gc, or the next run of the name, goes on with it"
        what = f"the files of {destination.url} are there, and have not got their names"
        raise OutputError(what, why=why, next_command=command) from error
    _quietly(_clear, destination)
    return [destination.spelt(file.name) for file in published.files]


def _clear(destination: Destination) -> None:
    """Remove what this run has left beside its dataset, or, if there is none, all that it wrote; and what the dataset
    replaced."""
    seen = manifest.look(destination.folder, destination.stem)
    manifest.remains(seen)
    published = seen.manifest is not None and seen.manifest.run == destination.run
    for run in (destination.run, *(_dead(seen) if published else ())):
        manifest.take_back(seen, run)
        manifest.forget(seen, run)


def discard(destinations: Sequence[Destination]) -> None:
    """Remove what a run that failed has written; what cannot be removed is a warning."""
    for destination in destinations:
        _quietly(_clear, destination)


def tidy(folder: str, stem: str, run: str) -> None:
    """Remove, or bring to its end, what a run whose driver was killed has left there. Raises stores.StoreFailure."""
    seen = manifest.look(folder, stem)
    manifest.remains(seen)
    manifest.take_back(seen, run)
    manifest.forget(seen, run)


def parts(name: str) -> list[str]:
    """Return the files, in order, of the dataset that a Snapshot to ``name`` has written.

    While it is being overwritten they are all of the newest dataset, or all of the one before. Raises OutputError if there
    is none.
    """
    destination = _destination(name, "0" * 8)
    with _told(destination):
        found = manifest.look(destination.folder, destination.stem).manifest
    if found is None:
        why = f"there is no {destination.stem}{manifest.END} beside it"
        raise OutputError(f"there is no dataset of the name {destination.url}", why=why, next_command="check the name")
    try:
        manifest.settle(destination.folder, found)
    except OSError:  # a reader who may not write reads them as they are
        staged = {file.staged for file in found.files if os.path.exists(destination.folder + file.staged)} - {""}
        return [destination.spelt(file.staged if file.staged in staged else file.name) for file in found.files]
    return [destination.spelt(file.name) for file in found.files]


def _quietly(action: Callable[..., Any], *given: Any) -> Any:
    """Call ``action``; what it raises becomes a warning: the run's own outcome matters more than what was not tidied up."""
    try:
        return action(*given)
    except (stores.StoreFailure, OSError) as failure:
        logger.warning("%s", failure)
        return None
