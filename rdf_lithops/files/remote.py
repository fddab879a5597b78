"""Remote objects by URL: how big they are, which version, which bytes. ``variables`` as in ``object_stores``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .object_stores import as_given, asked_at, s3_store, with_or_without_keys
from .refusals import FINAL, AccessFailure, changed, explained, shown, truncated

__all__ = [
    "FINAL",
    "AccessFailure",
    "RemoteObject",
    "changed",
    "fetch_extent",
    "list_folder",
    "open_object",
    "shown",
    "size_and_version",
    "truncated",
    "version_of",
]

BUFFER_BYTES = 256 << 10
TAIL_BYTES = 256 << 10  # fetched with the size: keys, streamers and the tree of most files, all of a small one


@dataclass(frozen=True)
class RemoteObject:
    """One version of a remote file.

    ``identity`` names the version: its ETag (or time of change) and size. ``tail`` are its last bytes. ``whole``: its server
    gives it whole or not at all.
    """

    url: str
    size: int
    etag: str | None
    modified: str
    store: Any = field(repr=False)
    path: str = field(repr=False)
    tail: bytes = field(default=b"", repr=False)
    whole: bool = False

    @property
    def identity(self) -> str:
        """Its name among the versions of the file."""
        return _version(self.etag, self.modified, self.size)

    def travelling(self, start: int, end: int) -> int:
        """Return how many bytes its server sends where bytes [start, end) are asked for."""
        return self.size if self.whole else end - start

    def fetch(self, start: int, end: int) -> Any:
        """Return bytes [start, end) as a buffer. Raises AccessFailure when there are fewer, or the file is no longer this
        version."""
        with _explained(self.url):
            answer = self._asked(start, end)
            data = memoryview(answer.bytes())
        data = data[start:end] if self.whole else data
        if len(data) != end - start:
            raise truncated(self.url, f"expected bytes {start} to {end}, got {len(data)}")
        return data

    def buffers(self, start: int, end: int) -> Iterator[Any]:
        """Yield bytes [start, end) in buffers as they arrive, so that none is as large as all of it. Raises as ``fetch``
        does."""
        if self.whole:
            yield self.fetch(start, end)
            return
        at = start
        with _explained(self.url):
            for buffer in self._asked(start, end).stream(min_chunk_size=BUFFER_BYTES):
                at += len(buffer)
                yield buffer
        if at != end:
            raise truncated(self.url, f"expected bytes {start} to {end}, got {at - start}")

    def _asked(self, start: int, end: int) -> Any:
        """Return the server's answer. Raises AccessFailure where it is of another version."""
        import obstore

        options: Any = {} if self.whole else {"range": (start, end)}
        if self.etag:
            options["if_match"] = self.etag
        answer = obstore.get(self.store, self.path, options=options)
        meta = answer.meta
        if meta["size"] != self.size or (meta["e_tag"] or self.etag) != self.etag or _modified(meta) != self.modified:
            raise changed(self.url)
        return answer


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn errors of the transfer library into AccessFailures."""
    try:
        yield
    except (AccessFailure, GeneratorExit):
        raise
    except Exception as error:
        raise explained(error, url) from error


def open_object(url: str, variables: Mapping[str, str], known: RemoteObject | None = None) -> RemoteObject:
    """Ask for the end of the file that ``url`` names: its size, version and last TAIL_BYTES, in one request.

    A file that is still the version ``known`` is answered with that object, at the store that was asked, and no data travel.
    """
    import obstore

    url = as_given(url)
    options: Any = {"range": {"suffix": TAIL_BYTES}}
    if known is not None and known.etag:
        options["if_none_match"] = known.etag

    def ask(store: Any, path: str) -> RemoteObject:
        try:
            answer = obstore.get(store, path, options=options)
            meta, tail, whole = answer.meta, bytes(answer.bytes()), False
        except obstore.exceptions.NotModifiedError:
            assert known is not None, "only asked for with a version that is known"
            return replace(known, store=store, path=path, tail=b"")
        except obstore.exceptions.NotSupportedError:  # a server that gives all or nothing, or does not know our header
            meta, tail, whole = obstore.head(store, path), b"", True
        return RemoteObject(url, meta["size"], meta["e_tag"], _modified(meta), store, path, tail, whole)

    with _explained(url):
        return asked_at(url, variables, ask)


def size_and_version(url: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Return how many bytes ``url`` has now, and its version. Raises AccessFailure."""
    version = version_of(url, variables)
    return int(version.rpartition(":")[2]), version


def fetch_extent(url: str, start: int, end: int, version: str, variables: Mapping[str, str]) -> bytes:
    """Return bytes [start, end) of that version of ``url``; AccessFailure when it is another one by now, or bytes are
    missing."""
    import obstore

    options: Any = {"range": (start, end)}

    def ask(store: Any, path: str) -> tuple[Any, bytes]:
        answer = obstore.get(store, path, options=options)
        return answer.meta, bytes(answer.bytes())

    with _explained(url):
        meta, data = asked_at(url, variables, ask)
    if _version(meta["e_tag"], _modified(meta), meta["size"]) != version:
        raise changed(url)
    if len(data) != end - start:
        raise truncated(url, f"expected bytes {start} to {end}, got {len(data)}")
    return data


def version_of(url: str, variables: Mapping[str, str]) -> str:
    """Return the version that ``url`` is now, without its data. Raises AccessFailure when it cannot be had."""
    import obstore

    url = as_given(url)

    def ask(store: Any, path: str) -> Any:
        try:
            # not HEAD: its answers do not say what is wrong, and a presigned URL allows GET alone
            return obstore.get(store, path, options={"range": (0, 1)}).meta
        except obstore.exceptions.NotSupportedError:
            return obstore.head(store, path)

    with _explained(url):
        meta = asked_at(url, variables, ask)
    return _version(meta["e_tag"], _modified(meta), meta["size"])


def _modified(meta: Any) -> str:
    return str(meta["last_modified"])


def _version(etag: str | None, modified: str, size: int) -> str:
    return f"{etag or modified}:{size}"


def list_folder(url: str, variables: Mapping[str, str]) -> tuple[list[str], list[tuple[str, int, str]]]:
    """Return what lies directly in the S3 folder ``url`` (``s3://bucket/a/``).

    Two lists: names of folders; names, sizes and versions of objects. Raises AccessFailure.
    """
    import obstore

    bucket, _, prefix = url[len("s3://") :].partition("/")
    prefix = prefix.strip("/")

    def ask(given: Mapping[str, str]) -> Any:
        return obstore.list_with_delimiter(s3_store(bucket, tuple(sorted(given.items()))), prefix or None)

    try:
        found = with_or_without_keys(url, bucket, variables, ask)
    except AccessFailure:
        raise
    except Exception as error:
        raise explained(error, url) from error
    folders = [name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"]]
    objects = [
        (meta["path"].rpartition("/")[2], meta["size"], _version(meta["e_tag"], _modified(meta), meta["size"]))
        for meta in found["objects"]
    ]
    return sorted(folders), sorted(objects)
