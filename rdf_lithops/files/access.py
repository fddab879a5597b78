"""How this process's ROOT opens a URL: native where ROOT's build has it, else through the reader of this machine.

root://, roots://          ROOT's own XRootD client (a build without it says so)
s3://, http://, https://   ``ranged``, which asks the reader of this machine
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypedDict

from ..processes import warm, wire
from ..travels import sealed as credentials
from . import object_stores, ranged, reader, remote, signed_files
from .secret_urls import cleaned

__all__ = [
    "Fetched",
    "Grant",
    "Standing",
    "broken_off",
    "fetched",
    "granted",
    "hold",
    "is_remote",
    "need_reader",
    "prepare",
    "take_failure",
    "unreadable",
]

_OPTIONS: dict[str, Any] = {"idle_limit_s": 300.0, "cache_limit_mib": 1024.0}


class GrantFields(TypedDict, total=False):
    """The fields of a Grant, as they travel."""

    variables: dict[str, str]  # of the driver's environment, that say where its data is
    versions: dict[str, str]  # by URL, those that the run began with
    settings: dict[str, Any]  # of a reader that has to be started


@dataclass(frozen=True)
class Grant:
    """What a run may use to reach its data.

    ``variables`` are added to the environment; ``versions``, by URL, are those that the run began with; ``signed`` are URLs
    with secrets, by the names that stand for them; ``settings`` go to a reader that has to be started.
    """

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    versions: dict[str, str] = field(default_factory=dict, repr=False)
    signed: dict[str, str] = field(default_factory=dict, repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Mapping[str, Any] | None) -> Grant:
        """Make a Grant of the dictionary of its fields, as it travels; None gives an empty one."""
        return cls(**(fields or {}))


@dataclass(frozen=True)
class Fetched:
    """How many bytes of files the reader has fetched, or was about to, and by how many requests."""

    bytes: int = 0
    requests: int = 0

    def __add__(self, other: Fetched) -> Fetched:
        return Fetched(self.bytes + other.bytes, self.requests + other.requests)

    def __sub__(self, other: Fetched) -> Fetched:
        return Fetched(self.bytes - other.bytes, self.requests - other.requests)


@dataclass(eq=False)
class Standing:
    """A grant that is in force at the reader, under that ``name``, until this is closed or this process ends."""

    control: Connection[Any, Any]
    name: str

    def fetched(self) -> Fetched:
        """Return what was fetched so far for files that were opened under this grant; nothing where the reader is gone."""
        ranged.settle()
        try:
            return Fetched(**ask(self.control, {"op": "fetched", "grant": self.name}))
        except (OSError, EOFError, ValueError):
            return Fetched()

    def close(self) -> None:
        """End the grant: the reader lets go of its keys, and files can no longer be opened under it."""
        self.control.close()


_in_force: list[Standing] = []  # within ``granted``


def is_remote(name: str) -> bool:
    """Return whether ``name`` is a URL and not a path."""
    return "://" in name and not name.startswith("file://")


def need_reader(name: str) -> bool:
    """Return whether the file ``name`` comes through the reader."""
    return name.partition("://")[0].lower() in object_stores.SCHEMES and is_remote(name)


@contextlib.contextmanager
def granted(folder: str | None, grant: Grant, names: Iterable[str]) -> Iterator[None]:
    """While this lasts, the files ``names`` can be opened with what ``grant`` says.

    Its variables are in the environment, and the reader that serves ``folder`` knows it. Files are announced to the reader,
    so that many small ones are opened side by side.
    """
    kept = {name: os.environ.get(name) for name in grant.variables}
    os.environ.update(grant.variables)
    standing = contextlib.ExitStack()
    wanted = [name for name in names if is_remote(name)]
    try:
        urls = sorted({name for name in wanted if need_reader(name)})
        if wanted:
            ranged.install()
            signed = {**grant.signed, **credentials.signed_urls()}
            signed_files.teach({name: signed[name] for name in wanted if name in signed and not need_reader(name)})
        if urls:
            if folder is None:
                raise RuntimeError("expected a private folder for the reader of remote files, got none")
            _in_force[:] = [standing.enter_context(contextlib.closing(prepare(folder, grant, urls, announce=True)))]
        yield
    finally:
        _in_force.clear()
        standing.close()
        if wanted:
            signed_files.forget()
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def fetched() -> Fetched:
    """Return what the reader has fetched under the grant that ``granted`` put in force; nothing without one."""
    return _in_force[0].fetched() if _in_force else Fetched()


def prepare(folder: str, grant: Grant, urls: list[str], announce: bool) -> Standing:
    """From now on this process's ROOT opens remote files at the reader of ``folder``, with ``grant``, until what is returned
    is closed.

    The reader is told to open ``urls`` now, if they are to be announced (``announce``).
    """
    ranged.install()
    control = connect(folder, grant.settings)
    try:
        versions = {url: grant.versions[url] for url in urls if url in grant.versions}
        signed = {**grant.signed, **credentials.signed_urls()}
        message = {"op": "grant", "variables": _variables(grant), "versions": versions, "signed": signed}
        name = ask(control, message)["grant"]
        ranged.set_reader(folder, name)
        ranged.take_failure()
        if announce:
            ask(control, {"op": "expect", "grant": name, "urls": urls})
    except BaseException:
        control.close()
        raise
    return Standing(control, name)


def _variables(grant: Grant) -> dict[str, str]:
    """Return what the reader is told: this process's environment, what the run adds, and the keys that were installed for
    it.

    The keys are given as they are, and the file that holds them is not named: its path is another one in each process, and
    would keep slots from sharing what they have read.
    """
    keys = credentials.s3_variables()
    given = {**object_stores.relevant(os.environ), **credentials.token_variables(), **grant.variables, **keys}
    if keys:
        given.pop("AWS_SHARED_CREDENTIALS_FILE", None)
    return given


def take_failure() -> dict[str, Any] | None:
    """Return what the reader last refused in this process, and forget it; None if nothing.

    Its fields are those of an AccessFailure: ``kind``, ``url``, ``why``, ``next_command``.
    """
    text = ranged.take_failure()
    if not text:
        return None
    try:
        return dict(json.loads(text))
    except ValueError:  # the reader itself is gone
        return {"kind": "reader", "url": "", "why": text, "next_command": "see reader.log; the call is tried again"}


_BY_TEXT = (  # found in what ROOT's XRootD client says: kind, why, next command
    ("Auth failed", "denied", "the server accepts no credentials from here", "rdf-lithops auth status {url}"),
    ("[3010]", "denied", "access is denied", "rdf-lithops auth status {url}"),
    ("ermission denied", "denied", "access is denied", "rdf-lithops auth status {url}"),
    ("[3011]", "missing", "there is no such file", "xrdfs {host} ls {folder}"),
    ("No such file", "missing", "there is no such file", "xrdfs {host} ls {folder}"),
    ("Invalid address", "unknown host", "there is no host of that name", "check the name"),
    ("Connection error", "unreachable", "nobody listens there", "check the host and port"),
    ("onnection refused", "unreachable", "nobody listens there", "check the host and port"),
    ("imeout", "unreachable", "it did not answer in time", "try again"),
)


def unreadable(names: Iterable[str]) -> dict[str, Any] | None:
    """Return an AccessFailure's fields for the first of the XRootD files ``names`` that ROOT cannot open; None if all
    open."""
    for url in names:
        if not is_remote(url) or need_reader(url):
            continue
        ranged.install()
        text = cleaned(ranged.why_not(url))
        if not text:
            continue
        name = remote.shown(url)
        host, _, path = name.partition("://")[2].partition("/")
        for found, kind, why, command in _BY_TEXT:
            if found in text:
                folder = f"/{path.strip('/').rpartition('/')[0]}"
                next_command = command.format(url=name, host=host, folder=folder)
                return remote.AccessFailure(kind, name, why, next_command).fields
        return remote.AccessFailure("failed", name, text.splitlines()[0], "try again").fields
    return None


_BROKEN_READS = ("TTreeReader status code is: 5", "TTreeReader status code is: 8")  # a file of a chain; a branch


def broken_off(names: Iterable[str], said: str) -> dict[str, Any] | None:
    """Return an AccessFailure's fields if ``said``, an error of ROOT's loop over the files ``names``, is one of reading and
    a file is remote.

    It may pass, and what can be opened again has said nothing else. None for any other error.
    """
    url = next((name for name in names if is_remote(name)), None)
    if url is None or not any(broken in said for broken in _BROKEN_READS):
        return None
    why = f"reading it, or another file of its range, broke off: {said.strip().splitlines()[-1]}"
    return remote.AccessFailure("failed", remote.shown(url), why, "try again").fields


# -- the control connection ---------------------------------------------------------------------------------------------


def connect(folder: str, settings: Mapping[str, Any]) -> Connection[Any, Any]:
    """Return a control connection to the reader of ``folder``, which is started with ``settings`` where there is none."""
    return warm.connected(folder, {**_OPTIONS, **settings}, "reader", reader.SOCKET_NAME)


def hold(folder: str, settings: Mapping[str, Any]) -> Connection[Any, Any]:
    """Keep the reader of ``folder`` alive, and let it end when the returned connection is closed or its owner dies."""
    control = connect(folder, settings)
    ask(control, {"op": "hold"})
    return control


def ask(control: Connection[Any, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Send one control message and return its answer."""
    body = json.dumps(message).encode()
    wire.write_all(control.fileno(), struct.pack("=II", reader.CONTROL, len(body)) + body)
    _, length = struct.unpack("=QQ", wire.read_all(control.fileno(), 16))
    return dict(json.loads(wire.read_all(control.fileno(), length)))
