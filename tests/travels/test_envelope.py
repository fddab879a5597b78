"""The envelope: what was packed comes out again, and no damage goes unnoticed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdf_lithops.travels.envelope import FORMAT_VERSION, Envelope, EnvelopeError, checked, pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(max_size=10), PLAIN, max_size=4)
ENVELOPES = st.builds(
    Envelope,
    range_ids=st.lists(st.integers(0, 10**6), unique=True, max_size=6).map(sorted).map(tuple),
    entries=st.none() | st.integers(0, 2**62),
    root=st.text(max_size=12),
    body=st.binary(max_size=300),
    error=st.none() | FIELDS,
    facts=FIELDS,
)
SAMPLE = pack(Envelope((0, 3), 1234, "6.40.00", b"\x00\x01payload" * 3, None, {"loop_s": 0.25}))


@given(ENVELOPES)
def test_round_trip(envelope: Envelope) -> None:
    """Unpacking is the inverse of packing, whatever the fields are."""
    assert envelope == unpack(pack(envelope))


@given(ENVELOPES)
def test_bytes_like_containers_are_read(envelope: Envelope) -> None:
    """A bytearray, as some storage clients hand out, reads as bytes do."""
    assert envelope == unpack(bytearray(pack(envelope)))


@given(ENVELOPES)
def test_what_was_checked_is_not_parsed_again(envelope: Envelope) -> None:
    """Bytes that remember what they say are the same bytes, say the same, and travel as plain ones."""
    packed = pack(envelope)
    remembering = checked(packed, unpack(packed))
    assert (packed, envelope) == (remembering, unpack(remembering))
    assert bytes is type(pickle.loads(pickle.dumps(remembering)))
    assert envelope == unpack(pickle.loads(pickle.dumps(remembering)))


def test_what_is_checked_is_what_came() -> None:
    """Whoever has nothing to remember checks: damage to a copy of such bytes is noticed."""
    remembering = checked(SAMPLE, unpack(SAMPLE))
    with pytest.raises(EnvelopeError):
        unpack(remembering[:-1] + b"x")


@given(ENVELOPES, st.data())
def test_truncated(envelope: Envelope, data: st.DataObject) -> None:
    """Cut anywhere, it is an EnvelopeError."""
    packed = pack(envelope)
    length = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(EnvelopeError):
        unpack(packed[:length])


@given(ENVELOPES, st.binary(min_size=1, max_size=20))
def test_bytes_appended(envelope: Envelope, more: bytes) -> None:
    """More bytes than were packed are an EnvelopeError, never ignored."""
    with pytest.raises(EnvelopeError):
        unpack(pack(envelope) + more)


def test_every_bit_of_an_envelope() -> None:
    """Each single bit of a whole envelope, header included: flipped, it is an EnvelopeError."""
    unnoticed = []
    for position in range(len(SAMPLE) * 8):
        damaged = bytearray(SAMPLE)
        damaged[position // 8] ^= 1 << position % 8
        try:
            unpack(bytes(damaged))
            unnoticed.append(position)
        except EnvelopeError:
            pass  # noticed, as it should be
        except Exception as error:  # any other exception is as bad as none
            unnoticed.append((position, type(error).__name__))
    assert [] == unnoticed[:10]


@given(ENVELOPES, st.data())
def test_flipped_bit_anywhere(envelope: Envelope, data: st.DataObject) -> None:
    """One flipped bit in any envelope is an EnvelopeError, and no other exception."""
    packed = bytearray(pack(envelope))
    position = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[position // 8] ^= 1 << position % 8
    with pytest.raises(EnvelopeError):
        unpack(bytes(packed))


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, 255])
def test_other_version(version: int) -> None:
    """The envelope of another version is refused, saying both numbers and why that happens."""
    other = bytearray(SAMPLE)
    other[4] = version
    with pytest.raises(EnvelopeError, match=rf"expected envelope format {FORMAT_VERSION}, got {version}: driver and worker"):
        unpack(bytes(other))


@pytest.mark.parametrize("thing", [None, "RDFL", 7, [], memoryview(b"RDFL"), {"range_ids": []}])
def test_not_bytes(thing: object) -> None:
    """Something that is not bytes is refused by the name of its type."""
    with pytest.raises(EnvelopeError, match=f"expected an envelope of at least .* bytes, got a {type(thing).__name__}"):
        unpack(thing)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    """Any bytes that nobody packed are an EnvelopeError, and no other exception."""
    with pytest.raises(EnvelopeError):
        unpack(data)


@pytest.mark.parametrize("field", ["range_ids", "entries", "root", "error", "facts"])
def test_header_lacks_a_field(field: str) -> None:
    """A header without one of its fields, its digest right, is an EnvelopeError that names the field."""
    prefix = struct.Struct("!4sBIQ32s")
    magic, version, length, body_bytes, _ = prefix.unpack_from(SAMPLE)
    header = json.loads(SAMPLE[prefix.size : prefix.size + length])
    del header[field]
    rest = json.dumps(header).encode() + SAMPLE[prefix.size + length :]
    digest = hashlib.sha256(rest).digest()
    with pytest.raises(EnvelopeError, match=field):
        unpack(prefix.pack(magic, version, len(rest) - body_bytes, body_bytes, digest) + rest)


def test_error_envelope_has_an_empty_body() -> None:
    """A failed call's envelope carries plain fields and no body, and survives the trip."""
    failed = Envelope((4,), None, "", error={"kind": "range", "message": "no", "range_ids": [4]})
    assert failed == unpack(pack(failed))
    assert b"" == unpack(pack(failed)).body


def test_envelopes_are_frozen() -> None:
    """What was checked cannot change afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        unpack(SAMPLE).entries = 5  # type: ignore[misc]
