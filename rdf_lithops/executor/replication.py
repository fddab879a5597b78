"""Copy a dataset between stores as a Lithops map over parts of its files: resumable, verified, with a manifest.

The manifest, ``rdf-lithops-manifest.json`` beside the copies, says of each file where it came from, in which version, and
the SHA-256 of each part that has arrived. Started again, a copy goes on where the manifest ends; a source that has changed
since is copied anew. A target appears when all its parts are there. Then all of it is read back and compared. What lies in
the target's place and is not known from the manifest is somebody else's: it is named, and nothing is copied.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..dataset import credentials, signed_sources
from ..dataset import names as dataset
from ..errors import DataAccessError, PlanError, RunError
from ..files import access, remote, stores, xrootd
from ..files.secret_urls import name_of
from ..worker.copying import CheckTask, CopyTask
from .copy_calls import Shown, run_parts

__all__ = ["MANIFEST", "CopiedFile", "check", "replicate"]


MANIFEST = "rdf-lithops-manifest.json"
PART_BYTES = 32 << 20
SAVE_S = 1.0  # how often the manifest is written while parts arrive


@dataclass
class CopiedFile:
    """One file of a copy: ``parts`` holds, by number (from 1), the SHA-256 and ETag of each part that has arrived.

    ``source`` is a name, without what signs its URL; ``target_version`` what the target was when it had just been written.
    """

    source: str
    version: str
    size: int
    target: str
    part_bytes: int
    upload_id: str | None = None
    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    done: bool = False
    target_version: str = ""

    @property
    def count(self) -> int:
        """Parts of the file; an empty file has none."""
        return -(-self.size // self.part_bytes)

    @property
    def staged(self) -> str:
        """Where a local target grows until it is complete."""
        return f"{self.target}.rdf_lithops-part"

    def part(self, number: int) -> dict[str, Any]:
        """What a call needs to know of one part."""
        start = (number - 1) * self.part_bytes
        return {
            "number": number,
            "source": self.source,
            "version": self.version,
            "target": self.target,
            "staged": self.staged,
            "upload_id": self.upload_id,
            "start": start,
            "end": min(self.size, start + self.part_bytes),
        }


def replicate(
    executor: Any, sources: Iterable[str], target: str, part_bytes: int = PART_BYTES, shown: Shown = lambda done, of: None
) -> list[CopiedFile]:
    """Copy ``sources`` (names and patterns) into the folder ``target`` (a path, or ``s3://bucket/prefix``), and verify them.

    Raises DataAccessError, PlanError, and RunError for parts that did not arrive or differ. Whatever happens, the manifest
    keeps what has arrived, and the same call goes on from there.
    """
    if "://" in target and not target.startswith("s3://"):
        reason = "files elsewhere cannot be written in parts by several calls; copy them one by one, with xrdcp or gfal-copy"
        raise PlanError(f"expected a folder or s3://bucket/prefix to copy into, got {remote.shown(target)}: {reason}")
    names = [signed_sources.named(match) for name in sources for match in _expanded(name)]
    described, before = _described(names, target, part_bytes), _read_manifest(target)
    files = _resumed(described, before)
    _refuse_others(target, files, before)
    _give_up(before, files)
    try:
        _copy(executor, files, target, shown)
    finally:
        _write_manifest(target, files)
    check(executor, target, shown)
    return files


def check(executor: Any, target: str, shown: Shown = lambda done, of: None) -> list[CopiedFile]:
    """Read all copies in ``target`` back and compare them with its manifest; RunError names files and bytes that differ."""
    files = _read_manifest(target)
    if not files or not all(item.done for item in files):
        raise PlanError(f"expected a complete copy in {target}, got {'no manifest' if not files else 'an unfinished one'}")
    known = dataset.reach(item.target for item in files)
    parts, wrong = [], []
    for index, item in enumerate(files):
        size, version = _size_and_version(item.target, known)
        if size != item.size:
            wrong.append(f"{item.target}: expected {item.size} bytes, got {size}")
            continue
        numbers = range(1, item.count + 1)
        parts += [{**item.part(number), "file": index, "target_version": version} for number in numbers]

    def compare(answer: dict[str, Any]) -> None:
        item, number = files[answer["file"]], answer["number"]
        part = item.part(number)
        if "error" in answer or answer["sha256"] != item.parts[str(number)]["sha256"]:
            why = answer.get("error", "they are not what was copied")
            wrong.append(f"{item.target}, bytes {part['start']} to {part['end']}: {why}")

    run_parts(executor, CheckTask, parts, shown, compare)
    if wrong:
        raise RunError("the copy differs: " + "; ".join(wrong[:5]), next_command="remove the named files and copy again")
    return files


def _expanded(name: str) -> list[str]:
    found = dataset.expand([name])
    if found == [name] and "://" not in name and glob.has_magic(name):
        found = sorted(glob.glob(name))
    if not found:
        raise PlanError(f"expected files that match {name_of(name)}, found none")
    return found


def _described(names: list[str], target: str, part_bytes: int) -> list[CopiedFile]:
    known = dataset.reach(names)
    files = {}
    for name in names:
        size, version = _size_and_version(name, known)
        place = f"{target.rstrip('/')}/{remote.shown(name).rpartition('/')[2]}"
        if place in files:
            raise PlanError(f"expected files of different names, got two that would become {place}")
        files[place] = CopiedFile(name, version, size, place, part_bytes)
    return list(files.values())


def _size_and_version(name: str, known: dict[str, str]) -> tuple[int, str]:
    if name.partition("://")[0] in xrootd.SCHEMES:
        seen_by_root = dataset.versions([name])[name]
        if not seen_by_root:
            failure = access.unreadable([name]) or remote.AccessFailure("failed", name, "it has no size", "try again").fields
            raise credentials.told_beside(DataAccessError.of(failure))
        return int(seen_by_root.rpartition(":")[2]), seen_by_root
    try:
        if "://" in name:
            return remote.size_and_version(signed_sources.of([name]).get(name, name), known)
        seen = os.stat(name)
    except remote.AccessFailure as failure:
        raise credentials.told_beside(DataAccessError.of(failure.fields)) from failure
    except OSError as error:
        raise DataAccessError.of(
            remote.AccessFailure("missing", name, str(error.strerror), "check the name").fields
        ) from error
    return seen.st_size, f"{seen.st_mtime_ns}:{seen.st_size}"


def _resumed(files: list[CopiedFile], before: list[CopiedFile]) -> list[CopiedFile]:
    """``files``, with what the manifest ``before`` says has arrived of those that are still the same, and is still there."""
    known = {item.target: item for item in before}
    merged = []
    for item in files:
        old = known.pop(item.target, None)
        same = old is not None and (old.source, old.version) == (item.source, item.version)
        merged.append(old if old is not None and same and _is_there(old) else item)
    return [*merged, *known.values()]


def _refuse_others(target: str, files: list[CopiedFile], before: list[CopiedFile]) -> None:
    """PlanError that names what would be written over and is not ours: a source, or what the manifest does not know."""
    known = {item.target: item for item in before}
    begun = [item for item in files if known.get(item.target) is not item]  # from nothing
    sources = {_identity(item.source) for item in files}
    if over := [item.target for item in begun if _identity(item.target) in sources]:
        raise PlanError(
            f"expected another place than that of the sources, got {', '.join(over[:5])}: it would be overwritten"
        )
    there = _listed(target)
    others = [item.target for item in begun if item.target in there and not _is_ours(known.get(item.target))]
    others += [item.staged for item in begun if item.staged in there and item.target not in known]
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if others[5:] else "")
        what = f"expected no files of these names but copies of ours in {target}, got {listed}"
        raise PlanError(f"{what}: move them away, or copy to another place")


def _identity(name: str) -> Any:
    """What two names of one file have in common: device and inode, else the path behind links; a URL is itself."""
    if "://" in name:
        return name
    with contextlib.suppress(OSError):
        seen = os.stat(name)
        return seen.st_dev, seen.st_ino
    return os.path.realpath(name)


def _listed(target: str) -> set[str]:
    """The files in the folder ``target``, spelt as targets are."""
    folder = f"{target.rstrip('/')}/"
    if not target.startswith("s3://"):
        return {folder + name for name in os.listdir(folder)} if os.path.isdir(folder) else set()
    try:
        return set(stores.sizes(folder, ""))
    except stores.StoreFailure as failure:
        raise RunError(f"{failure.what}: {failure.why}", next_command=f"rdf-lithops auth status {folder}") from failure


def _is_ours(before: CopiedFile | None) -> bool:
    """Whether the target that is there is the copy that the manifest tells of, as we left it."""
    if before is None or not before.done:  # it would not be there yet
        return False
    version = _size_and_version(before.target, dataset.reach([before.target]))[1]
    return before.target_version in ("", version)  # older manifests do not say


def _give_up(before: list[CopiedFile], files: list[CopiedFile]) -> None:
    """End what was begun of files that are copied anew: a store keeps, and bills, the parts of an upload until then."""
    for item in before:
        if item.done or any(item is kept for kept in files):
            continue
        if item.upload_id is not None:
            with _s3(item.target) as (client, where), contextlib.suppress(client.exceptions.ClientError):
                client.abort_multipart_upload(**where, UploadId=item.upload_id)
        with contextlib.suppress(OSError):
            os.unlink(item.staged)


def _is_there(item: CopiedFile) -> bool:
    """Whether what has arrived of a file can be used: a finished copy could be removed, an unfinished upload given up."""
    if item.done:
        try:
            return _size_and_version(item.target, dataset.reach([item.target]))[0] == item.size
        except DataAccessError as error:
            if error.kind == "missing":
                return False
            raise
    if item.upload_id is None:
        return not item.parts or os.path.exists(item.staged)
    with _s3(item.target) as (client, where):
        try:
            client.list_parts(**where, UploadId=item.upload_id)
        except client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # NoSuchUpload; Ceph says NoSuchKey
                return False
            raise
    return True


# -- the map ------------------------------------------------------------------------------------------------------------


def _copy(executor: Any, files: list[CopiedFile], target: str, shown: Shown) -> None:
    for item in files:
        if not item.done and item.target.startswith("s3://") and item.upload_id is None:
            with _s3(item.target) as (client, where):
                item.upload_id = str(client.create_multipart_upload(**where)["UploadId"])
        if not item.target.startswith("s3://"):
            os.makedirs(os.path.dirname(item.target) or ".", exist_ok=True)
    _write_manifest(target, files)
    parts = [
        {**item.part(number), "file": index}
        for index, item in enumerate(files)
        if not item.done
        for number in range(1, item.count + 1)
        if str(number) not in item.parts
    ]
    saved = time.monotonic()

    def arrived(answer: dict[str, Any]) -> None:
        nonlocal saved
        files[answer["file"]].parts[str(answer["number"])] = {name: answer[name] for name in ("sha256", "etag")}
        if time.monotonic() - saved > SAVE_S:
            _write_manifest(target, files)
            saved = time.monotonic()

    run_parts(executor, CopyTask, parts, shown, arrived)
    for item in files:
        if not item.done:
            _complete(item)
            item.target_version = _size_and_version(item.target, dataset.reach([item.target]))[1]
            item.done = True


def _complete(item: CopiedFile) -> None:
    """Let the target appear."""
    if item.upload_id is None:
        with open(item.staged, "ab"):
            pass
        os.truncate(item.staged, item.size)
        os.replace(item.staged, item.target)
        return
    with _s3(item.target) as (client, where):
        listed = [{"PartNumber": number, "ETag": item.parts[str(number)]["etag"]} for number in range(1, item.count + 1)]
        if not listed:
            client.abort_multipart_upload(**where, UploadId=item.upload_id)
            client.put_object(**where, Body=b"")
            return
        client.complete_multipart_upload(**where, UploadId=item.upload_id, MultipartUpload={"Parts": listed})


# -- the manifest -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _s3(url: str) -> Iterator[tuple[Any, dict[str, str]]]:
    bucket, _, key = url[len("s3://") :].partition("/")
    try:
        with stores.s3_client(url) as client:
            yield client, {"Bucket": bucket, "Key": key}
    except stores.StoreFailure as failure:
        raise RunError(f"{failure.what}: {failure.why}", next_command=f"rdf-lithops auth status {url}") from failure


def _read_manifest(target: str) -> list[CopiedFile]:
    place = f"{target.rstrip('/')}/{MANIFEST}"
    try:
        if target.startswith("s3://"):
            known = dataset.reach([place])
            size, version = remote.size_and_version(place, known)
            text = remote.fetch_extent(place, 0, size, version, known).decode()
        else:
            with open(place) as stream:
                text = stream.read()
    except FileNotFoundError:
        return []
    except remote.AccessFailure as failure:
        if failure.kind == "missing":
            return []
        raise DataAccessError.of(failure.fields) from failure
    return [CopiedFile(**item) for item in json.loads(text)["files"]]


def _write_manifest(target: str, files: list[CopiedFile]) -> None:
    place = f"{target.rstrip('/')}/{MANIFEST}"
    text = json.dumps({"format": 1, "files": [asdict(item) for item in files]}, indent=1)
    if target.startswith("s3://"):
        with _s3(place) as (client, where):
            client.put_object(**where, Body=text.encode())
        return
    os.makedirs(target, exist_ok=True)
    with open(f"{place}.new", "w") as stream:
        stream.write(text)
    os.replace(f"{place}.new", place)
