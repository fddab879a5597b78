"""A Snapshot's way out, on the driver: where its parts go, whether they may, and that nothing else stays.

The parts of a run in a store share its name, ``skim_<run>_<range>.root``: a run that fails takes away what it wrote and
nothing else, and a dataset that is overwritten stays readable until the new one is complete. In folders the names are those
of DistRDF, ``skim_<range>.root``.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import OutputError
from .worker import stores
from .worker.output import Output, part_url, placeholder
from .worker.remote import shown
from .worker.signatures import is_signed

__all__ = ["Destination", "check", "discard", "finish", "merge_ranges", "planned"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Destination:
    """Where one Snapshot goes. ``run`` is the run's name in those of its parts: eight hexadecimal digits, the last of which
    is 0, and 1 in merged files; None for DistRDF's names. ``may_overwrite`` is what the Snapshot's own options say;
    ``given_folder`` how the user spelt a folder of this machine, None for another place."""

    folder: str
    stem: str
    run: str | None
    may_overwrite: bool = False
    given_folder: str | None = None

    def spelt(self, url: str) -> str:
        """A part's name as the user would spell it."""
        return url if self.given_folder is None else os.path.join(self.given_folder, stores.split(url)[1])

    @property
    def url(self) -> str:
        """What the user named, in full."""
        return f"{self.folder}{self.stem}.root"

    def plain(self) -> Output:
        """What a worker needs to know."""
        return {"folder": self.folder, "stem": self.stem, "run": self.run}

    def dataset(self) -> list[str]:
        """The files of this name that are there: of any run, or one that is not in parts."""
        names = re.compile(re.escape(self.stem) + r"((_\d+|_[0-9a-f]{8}_\d{5,})(_[01])*)?\.root")
        return [url for url in stores.sizes(self.folder, self.stem) if names.fullmatch(stores.split(url)[1])]

    def of_this_run(self) -> list[str]:
        """What this run has written so far, merged or not. Files with DistRDF's names cannot be told from others."""
        return [] if self.run is None else list(stores.sizes(self.folder, f"{self.stem}_{self.run[:-1]}"))

    def wrote(self, url: str) -> bool:
        """Whether ``url`` is a part of this Snapshot."""
        folder, name = stores.split(url)
        beginning = self.stem + "_" + ("" if self.run is None else f"{self.run}_")
        return folder == self.folder and re.fullmatch(re.escape(beginning) + r"\d+(_[01])*\.root", name) is not None


def planned(nodes: dict[int, Any], merging: bool) -> tuple[dict[int, Any], list[Destination]]:
    """The Snapshots of a graph, by node, with placeholders for their files; and where these go, in the same order.

    ``merging``: the parts are to be merged, and so have a run's names in folders too.
    """
    operations: dict[int, Any] = {}
    destinations: list[Destination] = []
    run = secrets.token_hex(4)[:-1] + "0"
    for node_id, node in nodes.items():
        operation = node.operation
        if getattr(operation, "name", "") != "Snapshot" or len(operation.args) < 2:
            continue
        options = operation.args[3] if len(operation.args) > 3 else None
        destination = _destination(str(operation.args[1]), run, bool(getattr(options, "fOverwriteIfExists", False)), merging)
        if destination.url in [other.url for other in destinations]:
            raise OutputError(f"two Snapshots of one graph write {destination.url}", next_command="give them two names")
        operations[node_id] = copy.copy(operation)
        operations[node_id].args = [operation.args[0], placeholder(len(destinations)), *operation.args[2:]]
        destinations.append(destination)
    return operations, destinations


def _destination(name: str, run: str, may_overwrite: bool, merging: bool) -> Destination:
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
    return Destination(folder, last.partition(".root")[0], run if remote or merging else None, may_overwrite, given_folder)


def check(destinations: Sequence[Destination], may_overwrite: bool, inputs: Collection[str]) -> dict[str, list[str]]:
    """Refuse, before anything runs, what cannot be written or would be overwritten; returns what is there, by destination.

    Raises OutputError.
    """
    there: dict[str, list[str]] = {}
    for destination in destinations:
        try:
            stores.store_of(destination.url)
            there[destination.url] = destination.dataset()
        except stores.StoreFailure as failure:
            raise OutputError(
                failure.what, why=failure.why, next_command="rdf-lithops auth status " + destination.url
            ) from failure
        if there[destination.url] and not (may_overwrite or destination.may_overwrite):
            raise OutputError(
                f"there is a dataset of the name {destination.url} already",
                why=f"{len(there[destination.url])} files, the first is {there[destination.url][0]}",
                next_command='choose another name, or options={"overwrite": True}',
            )
        if destination.run is None and set(there[destination.url]) & set(map(os.path.abspath, inputs)):
            raise OutputError(f"{destination.url} would be overwritten while it is read", next_command="choose another name")
    for folder in {destination.folder for destination in destinations}:
        _quietly(stores.store_of(folder).prepare, folder)  # the first part says it better
    return there


def merge_ranges(
    destination: Destination, parts: Sequence[str], tree: str, file_bytes: float
) -> tuple[list[str], list[dict[str, Any]]]:
    """How ``parts`` become files of about ``file_bytes``: their names in the parts' order, and a range for each that is made
    of several parts. A part that is large enough stays as it is."""
    assert destination.run is not None, "what is to be merged has a run's names"
    sizes = stores.sizes(destination.folder, f"{destination.stem}_{destination.run}_")
    groups: list[list[str]] = []
    filled = file_bytes
    for part in parts:
        if filled >= file_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(part)
        filled += sizes.get(part, 0)
    merged = {**destination.plain(), "run": destination.run[:-1] + "1"}
    names: list[str] = []
    ranges: list[dict[str, Any]] = []
    for number, sources in enumerate(groups):
        names.append(sources[0] if len(sources) == 1 else part_url(merged, number))
        if len(sources) > 1:
            ranges.append({"kind": "merge", "id": len(ranges), "tree": tree, "sources": sources, "target": names[-1]})
    return names, ranges


def finish(destinations: Sequence[Destination], written: Sequence[str], there: dict[str, list[str]]) -> None:
    """After a run that has ``written`` all its parts: remove the dataset that they replace, and what does not belong.

    Raises OutputError for parts in a folder that this machine does not see.
    """
    unseen = [url for url in written if not urlsplit(url).scheme and not os.path.exists(url)]
    if unseen:
        raise OutputError(
            f"the Snapshot part {unseen[0]} is not to be seen from here",
            why="the workers have written it to a folder of their own, which is not shared with this machine",
            next_command="Snapshot to s3:// or root://, or to a folder that the workers share with this machine",
        )
    old = {url for urls in there.values() for url in urls}
    for destination in destinations:
        stray = set(destination.of_this_run())
        _quietly(stores.remove, sorted((old | stray) - set(written)))
        _abandon(destination)


def discard(destinations: Sequence[Destination], there: dict[str, list[str]]) -> None:
    """After a run that failed: remove what it has written, and was not there before."""
    for destination in destinations:
        found = destination.dataset if destination.run is None else destination.of_this_run
        _quietly(stores.remove, sorted(set(_quietly(found) or ()) - set(there[destination.url])))
        _abandon(destination)


def _abandon(destination: Destination) -> None:
    prefix = destination.stem if destination.run is None else f"{destination.stem}_{destination.run}_"
    _quietly(stores.store_of(destination.url).abandon, destination.folder, prefix)


def _quietly(action: Callable[..., Any], *given: Any) -> Any:
    """The run's own outcome matters more than what could not be tidied up: that is a warning."""
    try:
        return action(*given)
    except stores.StoreFailure as failure:
        logger.warning("%s", failure)
        return None
