"""The bytes that a call hands back: a checked header and an opaque body.

Layout: the magic ``RDFL``, one byte of format version, the header's length (4 bytes, big-endian), the header (JSON),
the body. The header says which ranges the body is the merged result of, how many entries they had, which ROOT wrote it,
and the SHA-256 of the body, which is compared before anybody unpickles it. A failed call hands back an envelope too:
its header carries the error, its body is empty, so that one bad range does not hide what the others did.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FORMAT_VERSION", "Envelope", "EnvelopeError", "pack", "unpack"]

FORMAT_VERSION = 1
_MAGIC = b"RDFL"
_PREFIX = struct.Struct("!4sBI")


class EnvelopeError(ValueError):
    """The bytes are not an envelope that this version can read, or they were damaged on the way."""


@dataclass(frozen=True)
class Envelope:
    """One call's outcome.

    ``range_ids`` in ascending order; ``entries`` processed (None where the source does not count them); ``root`` the
    version of ROOT that pickled ``body`` (bytes, empty on failure); ``error`` plain fields of what went wrong, or None;
    ``facts`` plain numbers about the call (seconds, bytes, MiB: the unit is in each name).
    """

    range_ids: tuple[int, ...]
    entries: int | None
    root: str
    body: bytes = field(default=b"", repr=False)
    error: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def pack(envelope: Envelope) -> bytes:
    """Serialise ``envelope``; the inverse of :func:`unpack`."""
    header = {
        "range_ids": list(envelope.range_ids),
        "entries": envelope.entries,
        "root": envelope.root,
        "error": envelope.error,
        "facts": envelope.facts,
        "body_bytes": len(envelope.body),
        "body_sha256": hashlib.sha256(envelope.body).hexdigest(),
    }
    encoded = json.dumps(header).encode()
    return _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(encoded)) + encoded + envelope.body


def unpack(data: bytes) -> Envelope:
    """Check ``data`` and take it apart; raises :class:`EnvelopeError` unless version, length and digest are right."""
    if not isinstance(data, (bytes, bytearray)) or len(data) < _PREFIX.size:
        raise EnvelopeError(f"expected an envelope of at least {_PREFIX.size} bytes, got {_describe(data)}")
    magic, version, header_bytes = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise EnvelopeError(f"expected an envelope that starts with {_MAGIC!r}, got {magic!r}")
    if version != FORMAT_VERSION:
        raise EnvelopeError(
            f"expected envelope format {FORMAT_VERSION}, got {version}: driver and worker run different rdf_lithops"
        )
    start = _PREFIX.size + header_bytes
    try:
        header = json.loads(bytes(data[_PREFIX.size : start]))
        body = bytes(data[start:])
        digest, length = header["body_sha256"], header["body_bytes"]
    except (ValueError, KeyError, TypeError) as error:
        raise EnvelopeError(f"the envelope's header does not parse: {error}") from error
    if len(body) != length:
        raise EnvelopeError(f"expected a body of {length} bytes, got {len(body)}: the transfer was cut short")
    if hashlib.sha256(body).hexdigest() != digest:
        raise EnvelopeError(f"the body's SHA-256 is not the {digest[:12]}… that its header promises: damaged in transit")
    return Envelope(
        range_ids=tuple(header["range_ids"]),
        entries=header["entries"],
        root=header["root"],
        body=body,
        error=header["error"],
        facts=header["facts"],
    )


def _describe(data: object) -> str:
    if isinstance(data, (bytes, bytearray)):
        return f"{len(data)} bytes"
    return f"a {type(data).__name__}"
