"""For writing: where a dataset's files go: S3, XRootD, WebDAV, folders. A file is there complete, or it is not there.

One small set of operations for all of them, chosen by the URL; what has no scheme is a path on this machine. Credentials
come from where each library looks for them; on a worker they have been put there.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ..travels import sealed
from . import remote, xrootd
from .store_protocol import PART, Store, StoreFailure, split
from .webdav import WebDAV

__all__ = ["StoreFailure", "fetch", "put", "remove", "s3_client", "sizes", "split", "store_of"]

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)
SINGLE_PUT_BYTES = 5 * 2**30  # of S3: up to here an object is one request, and nothing half done can stay behind


def store_of(url: str) -> Store:
    """Return the store that ``url`` lies in. Raises StoreFailure where nothing can be written there."""
    scheme = urlsplit(url).scheme
    if scheme not in _STORES:
        why = f"expected a path or a URL that starts with {', '.join(f'{name}://' for name in _STORES if name)}"
        raise StoreFailure(f"cannot write {remote.shown(url)}", why, True)
    return _STORES[scheme]


def put(path: str, url: str, replace: bool) -> None:
    """Put the file ``path`` where ``url`` says; see Store.put."""
    store_of(url).put(path, url, replace)


def fetch(url: str, path: str) -> None:
    """Copy ``url`` into the file ``path``; see Store.fetch."""
    store_of(url).fetch(url, path)


def sizes(folder: str, prefix: str) -> dict[str, int]:
    """Return the sizes of files by URL; see Store.sizes."""
    return store_of(folder).sizes(folder, prefix)


def remove(urls: Iterable[str]) -> None:
    """Remove ``urls``, each at its store; see Store.remove."""
    by_store: dict[int, list[str]] = {}
    for url in urls:
        by_store.setdefault(id(store_of(url)), []).append(url)
    for some in by_store.values():
        store_of(some[0]).remove(some)


# -- folders ----------------------------------------------------------------------------------------------------------


class _Folders:
    def prepare(self, folder: str) -> None:
        """Nothing: a folder that is not there is the user's error."""

    def put(self, path: str, url: str, replace: bool) -> None:
        staging = f"{url}.{secrets.token_hex(4)}{PART}"
        with _os_errors(f"cannot write {url}"):
            try:
                shutil.copyfile(path, staging)
                if replace:
                    os.replace(staging, url)
                else:
                    _link(staging, url)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(staging)

    def fetch(self, url: str, path: str) -> None:
        with _os_errors(f"cannot read {url}"):
            shutil.copyfile(url, path)

    def sizes(self, folder: str, prefix: str) -> dict[str, int]:
        with _os_errors(f"cannot list {folder}"):
            try:
                found = [entry for entry in os.scandir(folder) if entry.name.startswith(prefix) and entry.is_file()]
            except FileNotFoundError:
                return {}
            return {os.path.join(folder, entry.name): entry.stat().st_size for entry in found if PART not in entry.name}

    def remove(self, urls: Iterable[str]) -> None:
        for url in urls:
            with _os_errors(f"cannot remove {url}"), contextlib.suppress(FileNotFoundError):
                os.unlink(url)

    def abandon(self, folder: str, prefix: str) -> None:
        with _os_errors(f"cannot list {folder}"), contextlib.suppress(FileNotFoundError):
            self.remove(
                entry.path for entry in os.scandir(folder) if entry.name.startswith(prefix) and entry.name.endswith(PART)
            )


def _link(staging: str, url: str) -> None:
    """Give a file a name that nobody has yet: by a hard link, or a rename where the file system has none (EOS, SMB)."""
    try:
        os.link(staging, url)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not os.path.exists(url):  # who writes it meanwhile writes the same
            os.rename(staging, url)


@contextlib.contextmanager
def _os_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFailure(what, f"{error.strerror or error}", True) from error


# -- S3 ---------------------------------------------------------------------------------------------------------------


@functools.cache
def _descriptions() -> Any:
    """Return the loader of what botocore reads of AWS' services, for all clients; it holds no key."""  # decision 425
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def _session() -> Any:
    """Return a session of boto3 that finds keys anew, and reads no descriptions again."""
    import boto3
    import botocore.session

    bare = botocore.session.Session()
    bare.register_component("data_loader", _descriptions())
    return boto3.session.Session(botocore_session=bare)


@contextlib.contextmanager
def s3_client(what: str) -> Iterator[Any]:
    """Yield a client for a few requests, and turn its errors into StoreFailures: none is kept, for it would keep the
    keys."""
    try:
        import boto3  # noqa: F401  # for _session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError as error:
        raise StoreFailure(what, "there is no boto3 here; install rdf_lithops[s3]", True) from error
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=120,
        request_checksum_calculation="when_required",  # the newer kind is unknown to many a gateway; MD5 is sent
        response_checksum_validation="when_required",
    )
    try:
        with contextlib.closing(_session().client("s3", config=config, **sealed.s3_keys())) as client:
            yield client
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        said = error.response.get("Error", {})
        why = " ".join(str(part) for part in (status, said.get("Code"), said.get("Message")) if part)
        raise StoreFailure(what, why, 400 <= status < 500 and status not in (408, 409, 429)) from error
    except BotoCoreError as error:
        raise StoreFailure(what, str(error), type(error).__name__ == "NoCredentialsError") from error


class _S3:
    def prepare(self, folder: str) -> None:
        """Nothing: there are no folders."""

    def put(self, path: str, url: str, replace: bool) -> None:
        bucket, key = self._parts(url)
        condition = {} if replace else {"IfNoneMatch": "*"}
        with s3_client(f"cannot write {url}") as client, open(path, "rb") as stream, _left_as_it_is():
            if os.path.getsize(path) > SINGLE_PUT_BYTES:
                client.upload_fileobj(stream, bucket, key)
                return
            digest = hashlib.md5(usedforsecurity=False)
            while piece := stream.read(2**20):
                digest.update(piece)
            stream.seek(0)
            md5 = base64.b64encode(digest.digest()).decode()
            client.put_object(Bucket=bucket, Key=key, Body=stream, ContentMD5=md5, **condition)

    def fetch(self, url: str, path: str) -> None:
        bucket, key = self._parts(url)
        with s3_client(f"cannot read {url}") as client:
            client.download_file(bucket, key, path)

    def sizes(self, folder: str, prefix: str) -> dict[str, int]:
        bucket, start = self._parts(folder)
        with s3_client(f"cannot list {folder}") as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start + prefix, Delimiter="/")
            return {f"s3://{bucket}/{item['Key']}": int(item["Size"]) for page in pages for item in page.get("Contents", ())}

    def remove(self, urls: Iterable[str]) -> None:
        places = [self._parts(url) for url in urls]
        with s3_client("cannot remove from S3") as client:
            for bucket, key in places:
                client.delete_object(Bucket=bucket, Key=key)

    def abandon(self, folder: str, prefix: str) -> None:
        bucket, start = self._parts(folder)
        with s3_client(f"cannot list uploads to {folder}") as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=start + prefix)
            for upload in [item for page in pages for item in page.get("Uploads", ())]:
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    def _parts(self, url: str) -> tuple[str, str]:
        bucket, _, key = url.partition("://")[2].partition("/")
        return bucket, key


@contextlib.contextmanager
def _left_as_it_is() -> Iterator[None]:
    """An object that is there already, and was not to be replaced, is no error."""
    try:
        yield
    except Exception as error:
        answer = getattr(error, "response", {})
        if answer.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
            raise


# -- XRootD -----------------------------------------------------------------------------------------------------------

# POSC, "persist on successful close": the server removes the file unless it is closed. ROOT's own copy does not ask for it.
_COPY = """
#ifndef RDF_LITHOPS_COPY
#define RDF_LITHOPS_COPY
#ifndef __attr_access
#define __attr_access(x)
#endif
#include "XrdCl/XrdClCopyProcess.hh"
#include "XrdCl/XrdClFileSystem.hh"
namespace rdf_lithops {
std::string move_file(const std::string &from, const std::string &to) {
   XrdCl::URL source(from), target(to);
   auto status = XrdCl::FileSystem(source).Mv(source.GetPath(), target.GetPath());
   return status.IsOK() ? "" : status.ToStr();
}
std::string copy_whole(const std::string &from, const std::string &to) {
   XrdCl::CopyProcess copy;
   XrdCl::PropertyList job, result;
   job.Set("source", from);
   job.Set("target", to);
   job.Set("force", true);
   job.Set("posc", true);
   job.Set("makeDir", true);
   auto status = copy.AddJob(job, &result);
   if (status.IsOK()) status = copy.Prepare();
   if (status.IsOK()) status = copy.Run(nullptr);
   return status.IsOK() ? "" : status.ToStr();
}
}
#endif
"""


class _XRootD:
    def prepare(self, folder: str) -> None:
        """Make ``folder`` now.

        A server that makes it for a file gives it its permissions a moment later, and refuses others in that moment.
        """
        import ROOT

        ROOT.gSystem.MakeDirectory(folder)  # one that is there is no error

    def put(self, path: str, url: str, replace: bool) -> None:
        """Send the file under another name and move it: who replaces a file while it is sent shows half of it."""
        if not replace and url in self.sizes(*split(url)):
            return
        staged, source = f"{url}.{secrets.token_hex(4)}{PART}", f"file://localhost{os.path.abspath(path)}"
        why = self._copied(source, staged) or self._moved(staged, url)
        if why:
            self.remove([staged])
        if "exists" in why:  # a server that moves onto no file
            why = self._copied(source, url)
        if why:
            final = any(sign in why for sign in ("Auth failed", "not permitted", "ermission denied"))
            raise StoreFailure(f"cannot write {url}", why, final)

    def fetch(self, url: str, path: str) -> None:
        why = self._copied(url, f"file://localhost{os.path.abspath(path)}")
        if why:
            raise StoreFailure(f"cannot read {url}", why, False)

    def sizes(self, folder: str, prefix: str) -> dict[str, int]:
        return self._listed(folder, prefix, staged=False)

    def _listed(self, folder: str, prefix: str, staged: bool) -> dict[str, int]:
        import ROOT

        found = {}
        directory = ROOT.gSystem.OpenDirectory(folder)
        try:
            while directory and (name := str(ROOT.gSystem.GetDirEntry(directory) or "")):
                if name.startswith(prefix) and (PART in name) == staged:
                    status = ROOT.FileStat_t()
                    ROOT.gSystem.GetPathInfo(folder + name, status)
                    found[folder + name] = int(status.fSize)
        finally:
            if directory:
                ROOT.gSystem.FreeDirectory(directory)
        return found

    def remove(self, urls: Iterable[str]) -> None:
        import ROOT

        for url in urls:
            ROOT.gSystem.Unlink(url)

    def abandon(self, folder: str, prefix: str) -> None:
        """Remove what was closed and not moved; the server itself removes what was not closed."""
        self.remove(self._listed(folder, prefix, staged=True))

    def _copied(self, source: str, target: str) -> str:
        """Copy a file; return why it failed, or nothing. A ROOT without XRootD's headers copies by itself, without POSC."""
        import ROOT

        self._declare()
        if hasattr(ROOT.rdf_lithops, "copy_whole"):
            return str(ROOT.rdf_lithops.copy_whole(source, target))
        copied = ROOT.TFile.Cp(*(name.removeprefix("file://localhost") for name in (source, target)), False)
        return "" if copied else "ROOT's copy failed; the log's tail says why"

    def _moved(self, source: str, target: str) -> str:
        """Rename a file; return why it failed, or nothing."""
        import ROOT

        if hasattr(ROOT.rdf_lithops, "move_file"):
            return str(ROOT.rdf_lithops.move_file(source, target))
        return "this ROOT has no XRootD headers, so nothing is moved to what exists"

    def _declare(self) -> None:
        import ROOT

        if not hasattr(ROOT, "rdf_lithops") or not hasattr(ROOT.rdf_lithops, "copy_whole"):
            ROOT.gInterpreter.AddIncludePath(f"-I{ROOT.gROOT.GetIncludeDir()}/xrootd")
            ROOT.gSystem.Load("libXrdCl")
            ROOT.gInterpreter.Declare(_COPY)


_XROOTD = _XRootD()
_WEBDAV = WebDAV()
_STORES: dict[str, Store] = {
    "": _Folders(),
    "s3": _S3(),
    **dict.fromkeys(xrootd.SCHEMES, _XROOTD),
    "https": _WEBDAV,
    "http": _WEBDAV,
}
