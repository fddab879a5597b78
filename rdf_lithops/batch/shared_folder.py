"""A storage of Lithops in a folder that all nodes see: an object is a file.

What a shared file system does to that: a file is written under another name and renamed, so that nobody reads half of it;
it is on the server before it is renamed (``fsync``), so that nobody reads an empty one; and a node may go on believing for
half a minute that a file is not there, until it opens the folder, which asks the server. So a file that is missing is looked
for once more, after its folder was opened.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from typing import IO, Any

from lithops.storage.utils import StorageNoSuchKeyError

__all__ = ["SharedFolder", "load_config"]

TEMPORARY = ".part-"
COPY_BYTES = 1024 * 1024


def load_config(config: dict[str, Any]) -> None:
    """Fill in the section ``shared_folder``: ``path``, which has no default, and the name of the bucket, a folder in it."""
    section = config.get("shared_folder") or {}
    config["shared_folder"] = section
    path = section.get("path")
    if not path:
        raise ValueError(
            "shared_folder.path is missing: the folder, on a file system that all nodes see, for Lithops' objects"
        )
    section["path"] = os.path.abspath(os.path.expandvars(os.path.expanduser(str(path))))
    section.setdefault("storage_bucket", "storage")
    config["lithops"].setdefault("monitoring_interval", 0.2)


class SharedFolder:
    """Lithops' interface of a storage."""

    poll_s = 0.1  # how often it may be asked what is new
    names_only = True  # a list of more than names asks the server for each file

    def __init__(self, config: dict[str, Any]) -> None:
        self.root = str(config["path"])

    def get_client(self) -> SharedFolder:
        """There is no other client."""
        return self

    def _path(self, bucket: str, key: str) -> str:
        path = os.path.normpath(os.path.join(self.root, bucket, key))
        if not path.startswith(os.path.join(self.root, bucket, "")):
            raise ValueError(f"expected a key below the bucket {bucket}, got {key!r}")
        return path

    def create_bucket(self, bucket: str) -> None:
        """Make the folder, for its owner alone."""
        os.makedirs(os.path.join(self.root, bucket), 0o700, exist_ok=True)

    def put_object(self, bucket: str, key: str, data: Any) -> None:
        """Write an object, whole or not at all; ``data`` is bytes, a string or a file."""
        path = self._path(bucket, key)
        folder, name = os.path.split(path)
        part = os.path.join(folder, f"{TEMPORARY}{os.urandom(8).hex()}-{name}")
        while True:
            os.makedirs(folder, 0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the folder was empty, and somebody has just removed it
                stream = open(part, "xb", opener=_private)  # noqa: SIM115  # closed below
                break
        try:
            with stream:
                _write(stream, data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    def get_object(self, bucket: str, key: str, stream: bool = False, extra_get_args: dict[str, Any] | None = None) -> Any:
        """The bytes of an object, or those of a range of it; ``stream``: as a file."""
        with self._opened(bucket, key) as file:
            first, last = _bounds((extra_get_args or {}).get("Range"))
            file.seek(first)
            data = file.read() if last is None else file.read(last - first + 1)
        return io.BytesIO(data) if stream else data

    @contextlib.contextmanager
    def _opened(self, bucket: str, key: str) -> Iterator[IO[bytes]]:
        path = self._path(bucket, key)
        try:
            file = self._again(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise StorageNoSuchKeyError(bucket, key) from None
        with file:
            yield file

    def _again(self, path: str) -> IO[bytes]:
        """Open a file that may have come a moment ago."""
        with contextlib.suppress(FileNotFoundError):
            return open(path, "rb")
        os.listdir(os.path.dirname(path))
        return open(path, "rb")

    def upload_file(self, file_name: str, bucket: str, key: str | None = None, *given: Any, **named: Any) -> bool:
        """Put a file; says whether that went well."""
        try:
            with open(file_name, "rb") as file:
                self.put_object(bucket, key or os.path.basename(file_name), file)
        except OSError:
            return False
        return True

    def download_file(self, bucket: str, key: str, file_name: str | None = None, *given: Any, **named: Any) -> bool:
        """Get an object as a file; says whether that went well."""
        target = file_name or key
        try:
            os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
            with self._opened(bucket, key) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, COPY_BYTES)
        except (OSError, StorageNoSuchKeyError):
            return False
        return True

    def head_object(self, bucket: str, key: str) -> dict[str, str]:
        """The length of an object, as S3 would say it."""
        with self._opened(bucket, key) as file:
            return {"content-length": str(os.fstat(file.fileno()).st_size)}

    def head_bucket(self, bucket: str) -> dict[str, Any]:
        """Whether there is such a bucket."""
        if not os.path.isdir(os.path.join(self.root, bucket)):
            raise StorageNoSuchKeyError(bucket, "")
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object, and the folders that are empty without it; one that is not there is no error."""
        path = self._path(bucket, key)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with contextlib.suppress(OSError):  # until one is not empty
            while (path := os.path.dirname(path)) != os.path.join(self.root, bucket):
                os.rmdir(path)

    def delete_objects(self, bucket: str, keys: list[str]) -> None:
        """Delete several."""
        for key in keys:
            self.delete_object(bucket, key)

    def list_objects(self, bucket: str, prefix: str | None = None, match_pattern: str | None = None) -> list[dict[str, Any]]:
        """Keys and sizes of the objects of a prefix."""
        found = []
        for key in self.list_keys(bucket, prefix):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                found.append({"Key": key, "Size": os.stat(self._path(bucket, key)).st_size})
        return found

    def list_keys(self, bucket: str, prefix: str | None = None) -> list[str]:
        """Keys that begin with ``prefix``, sorted. Only the folders that can have some are opened."""
        base = os.path.join(self.root, bucket)
        folder, _, start = (prefix or "").rpartition("/")
        return sorted(
            key for key in _files(os.path.join(base, folder), folder and f"{folder}/", start) if key.startswith(prefix or "")
        )


def _files(folder: str, key: str, start: str = "") -> Iterator[str]:
    """The keys of all files below ``folder``, whose own key is ``key``; of its entries those that begin with ``start``."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not entry.name.startswith(start) or entry.name.startswith(TEMPORARY):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, f"{key}{entry.name}/")
        else:
            yield f"{key}{entry.name}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(stream: IO[bytes], data: Any) -> None:
    if hasattr(data, "read"):
        shutil.copyfileobj(data, stream, COPY_BYTES)
    else:
        stream.write(data.encode() if isinstance(data, str) else data)


def _bounds(wanted: str | None) -> tuple[int, int | None]:
    """First and last byte of ``bytes=F-L``."""
    if not wanted:
        return 0, None
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return int(first), int(last) if last else None
