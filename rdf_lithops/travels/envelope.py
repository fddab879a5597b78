"""The bytes that a call hands back: a checked header and an opaque body.

Layout: the magic ``RDFL``, one byte of format version, the lengths of header (4 bytes) and body (8 bytes, big-endian), the
SHA-256 of all that follows, the header (JSON), the body. The digest is compared before anybody parses or unpickles. The
header says which ranges the body is the merged result of, how many entries they had and which ROOT wrote it. A failed call
hands back an envelope too: its header carries the error, its body is empty, so that one bad range does not hide the others.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .facts import Facts

__all__ = ["FORMAT_VERSION", "Checked", "Envelope", "EnvelopeError", "checked", "pack", "unpack"]

FORMAT_VERSION = 5
_MAGIC = b"RDFL"
_PREFIX = struct.Struct("!4sBIQ32s")
REMEMBERED_BYTES = 64 * 2**10  # of a packed envelope: more is not copied to remember what it says


class EnvelopeError(ValueError):
    """The bytes are not an envelope that this version can read, or they were damaged on the way."""


@dataclass(frozen=True)
class Envelope:
    """One call's outcome, or what several calls' were folded to.

    ``range_ids``  ascending: the ranges that ``body`` is the merged result of
    ``entries``    how many entries they had; None where the source does not count them
    ``root``       the version of ROOT that pickled ``body``; empty on failure
    ``body``       the pickles; ``unpack`` gives a view of its argument, as it may have gigabytes
    ``error``      plain fields of what went wrong (``kind``, ``type``, ``message``, ...); None where nothing did
    ``facts``      plain numbers about the call (seconds, bytes, MiB: the unit is in each name)
    ``stored``     where the body lies if it is not here (see ``fold.shelf``)
    ``inner``      lengths of the packed envelopes that the body holds, if it is several results that are still to be folded
    ``half``       which half of a range that was cut in two, perhaps again: a path of 0 and 1; empty for whole ranges
    ``pickles``    lengths of the pickles that a result consists of; empty: it is one
    ``graphs``     of which graph each of ``inner`` is the result, where they are those of several and are not to be folded
    """

    range_ids: tuple[int, ...]
    entries: int | None
    root: str
    body: bytes | memoryview = field(default=b"", repr=False)
    error: dict[str, Any] | None = None
    facts: Facts = field(default_factory=Facts)
    stored: dict[str, Any] | None = None
    inner: tuple[int, ...] = ()
    half: tuple[int, ...] = ()
    pickles: tuple[int, ...] = ()
    graphs: tuple[int, ...] = ()


class Checked(bytes):  # decision 390
    """A packed envelope that was checked where it crossed a wire, and remembers what it says. Pickled as plain bytes."""

    envelope: Envelope  # with an empty body: a view of itself would keep it alive

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (self[:],)


def checked(data: bytes, envelope: Envelope) -> bytes:
    """``data``, of which ``envelope`` is what :func:`unpack` has said, as bytes that need not be checked again.

    What is large stays as it is, as it would be copied.
    """
    if len(data) > REMEMBERED_BYTES or isinstance(data, Checked):
        return data
    remembering = Checked(data)
    remembering.envelope = _with_body(envelope, b"")
    return remembering


def _with_body(envelope: Envelope, body: bytes | memoryview) -> Envelope:
    """The same as ``dataclasses.replace``, which takes ten times as long."""
    found = object.__new__(Envelope)
    found.__dict__.update(envelope.__dict__, body=body)
    return found


def pack(envelope: Envelope, pickles: Sequence[bytes] = ()) -> bytes:
    """Return ``envelope`` as bytes; the inverse of :func:`unpack`. ``pickles`` are the body, if there are any."""
    bodies = pickles or (envelope.body,)
    header = {
        "range_ids": list(envelope.range_ids),
        "entries": envelope.entries,
        "root": envelope.root,
        "error": envelope.error,
        "facts": envelope.facts,
        "stored": envelope.stored,
        "inner": list(envelope.inner),
        "half": list(envelope.half),
        "pickles": list(map(len, pickles)) or list(envelope.pickles),
        "graphs": list(envelope.graphs),
    }
    encoded = json.dumps(header).encode()
    digest = hashlib.sha256(encoded)
    for body in bodies:
        digest.update(body)
    prefix = _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(encoded), sum(map(len, bodies)), digest.digest())
    return b"".join((prefix, encoded, *bodies))  # one copy of a body that may have gigabytes


def unpack(data: bytes) -> Envelope:
    """Check ``data`` and take it apart, without a copy of the body.

    Raises :class:`EnvelopeError` unless version, lengths and digest are right.
    """
    if isinstance(data, Checked):
        start = len(data) - _PREFIX.unpack_from(data)[3]
        return _with_body(data.envelope, memoryview(data)[start:])
    if not isinstance(data, (bytes, bytearray)) or len(data) < _PREFIX.size:
        raise EnvelopeError(f"expected an envelope of at least {_PREFIX.size} bytes, got {_describe(data)}")
    magic, version, header_bytes, body_bytes, digest = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise EnvelopeError(f"expected an envelope that starts with {_MAGIC!r}, got {magic!r}")
    if version != FORMAT_VERSION:
        raise EnvelopeError(
            f"expected envelope format {FORMAT_VERSION}, got {version}: driver and worker run different rdf_lithops"
        )
    expected = _PREFIX.size + header_bytes + body_bytes
    if len(data) != expected:
        raise EnvelopeError(f"expected an envelope of {expected} bytes, got {len(data)}: the transfer was cut short")
    if hashlib.sha256(memoryview(data)[_PREFIX.size :]).digest() != digest:
        raise EnvelopeError("the contents do not have the SHA-256 that the envelope promises: damaged in transit")
    start = _PREFIX.size + header_bytes
    try:
        header = json.loads(str(memoryview(data)[_PREFIX.size : start], "utf-8"))
        return Envelope(
            range_ids=tuple(header["range_ids"]),
            entries=header["entries"],
            root=header["root"],
            body=memoryview(data)[start:],
            error=header["error"],
            facts=header["facts"],
            stored=header["stored"],
            inner=tuple(header["inner"]),
            half=tuple(header["half"]),
            pickles=tuple(header["pickles"]),
            graphs=tuple(header["graphs"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EnvelopeError(f"the envelope's header does not say what it should: {error!r}") from error


def _describe(data: object) -> str:
    if isinstance(data, (bytes, bytearray)):
        return f"{len(data)} bytes"
    return f"a {type(data).__name__}"
