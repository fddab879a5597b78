"""The user's data on the driver: which files a constructor's arguments mean, in which version, and how ROOT opens them here.

Local names stay as they were given: ROOT expands them. Remote patterns (``*``, ``?``, ``[]``, ``**``) are expanded here,
once, so that driver and workers mean the same files. What cannot be read is a DataAccessError before anything is invoked.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fnmatch
import glob
import json
import os
import re
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ..errors import DataAccessError, PlanError
from ..files import access, object_stores, remote, signed_files, xrootd
from ..files.secret_urls import is_signed, name_of, parted
from ..frame.ranges import without_options
from . import credentials, signed_sources

# isort: split
import ROOT

__all__ = ["counted", "expand", "expanded_spec", "pinned", "reach", "refused", "resolved", "variables", "versions"]

SIDE_BY_SIDE = 32  # requests at a time from the driver
MAX_ASKED = 200  # XRootD files, one after the other; of more only the first ones are asked for
LIST_FROM = 8  # files of one folder: more are looked up by listing it
NOT_SECRET = re.compile(
    r"AWS_(ENDPOINT_URL(_\w+)?|REGION|DEFAULT_REGION|CA_BUNDLE|NO_SIGN_REQUEST"
    r"|SKIP_SIGNATURE|EC2_METADATA_DISABLED)|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|X509_CERT_DIR|XrdSecPROTOCOL|XrdSecGSI\w+"  # names of files
)


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return those variables of ``environment`` that tell a worker where this driver's data is. None of them is a secret."""
    named = {name: value for name, value in environment.items() if NOT_SECRET.fullmatch(name)}
    return {name: value for name, value in named.items() if not is_signed(value)}


def reach(names: Iterable[str]) -> dict[str, str]:
    """Return the variables with which this process itself reaches the remote files ``names``; for https the user's bearer
    token is one."""
    found = credentials.find(["token"]) if any(name.startswith("https:") for name in names) else []
    usable = [item for item in found if credentials.is_usable(item, datetime.now(timezone.utc))]
    token = {object_stores.TOKEN: usable[0].files["token"].decode()} if usable else {}
    return {**object_stores.relevant(os.environ), **token}


def resolved(args: tuple[Any, ...], reader_folder: Any) -> tuple[Any, ...]:
    """Return the arguments of a constructor with remote patterns expanded; this process's ROOT can open what they name
    afterwards.

    ``reader_folder()`` is asked, only where a reader is needed, for the folder that the reader serves. URLs with secrets in
    them have become names (see ``signatures``). Raises DataAccessError; PlanError for a pattern that matches nothing.
    """
    args = signed_sources.named_arguments(args)
    if isinstance(args[0], ROOT.RDF.Experimental.RDatasetSpec):
        _check_spec(args[0], reader_folder)
        return args
    if isinstance(args[0], ROOT.TTree):
        names = [str(name) for name in ROOT.Internal.TreeUtils.GetFileNamesFromTree(args[0])]
        friends = ROOT.Internal.TreeUtils.GetFriendInfo(args[0]).fFriendFileNames
        _open_from_here([*names, *(str(name) for files in friends for name in files)], reader_folder)
        return args
    if len(args) < 2 or not isinstance(args[1], (str, list, tuple, ROOT.std.string, ROOT.std.vector["std::string"])):
        return args
    single = isinstance(args[1], (str, ROOT.std.string))
    given = [str(args[1])] if single else [str(name) for name in args[1]]
    if not any(access.is_remote(name) for name in given):  # patterns are ROOT's, in which ** is no more than *: decision 324
        return (args[0], without_options(given[0]) if single else [*map(without_options, given)], *args[2:])
    names = _expanded_names(given)
    _open_from_here(names, reader_folder)
    if access.need_reader(names[0]) and _is_rntuple(str(args[0]), names[0]):
        names = [object_stores.spelt_for_rntuple(name) for name in names]
    return (args[0], names[0] if single and len(names) == 1 else names, *args[2:])


def _check_spec(spec: Any, reader_folder: Any) -> None:
    """Refuse a specification whose remote patterns ROOT has expanded to nothing at all when it was built."""
    friends = [str(name) for files in spec.GetFriendInfo().fFriendFileNames for name in files]
    names = [*map(str, spec.GetFileNameGlobs()), *friends]
    left = next((name for name in names if _is_pattern(name)), "")
    if left or not names:
        what = f"the pattern {name_of(left)}" if left else "samples without files (ROOT drops remote patterns)"
        raise PlanError(f"expected a specification of file names, got one with {what}; use rdf_lithops.expand on its files")
    _open_from_here(names, reader_folder)


@contextlib.contextmanager
def expanded_spec(path: str) -> Iterator[str]:
    """Yield the path of a JSON specification: that of ``path``, or, where it has remote patterns, of a copy in which they
    are expanded."""
    with open(path) as stream:
        spec = json.load(stream)
    groups = [group for section in ("samples", "friends") for group in spec.get(section, {}).values()]
    if not any(_is_remote_pattern(name) or is_signed(name) for group in groups for name in group["files"]):
        yield path
        return
    for group in groups:
        if len(group["trees"]) == len(group["files"]) > 1:
            pairs = [
                (tree, name)
                for tree, name in zip(group["trees"], group["files"], strict=True)
                for name in _expanded_names([name])
            ]
            group["trees"], group["files"] = [tree for tree, _ in pairs], [name for _, name in pairs]
        else:
            group["files"] = _expanded_names(group["files"])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as written:
        json.dump(spec, written)
        written.flush()
        yield written.name


def _expanded_names(given: Iterable[str]) -> list[str]:
    expanded = (name for item in given for name in (expand([item]) if access.is_remote(item) else [item]))
    return [signed_sources.named(name) for name in expanded]


def _open_from_here(names: Sequence[str], reader_folder: Any) -> None:
    """Let this process's ROOT open ``names`` for as long as the process lives."""
    signed_files.teach(_behind_xrootd(names))
    if any(access.need_reader(name) for name in names):
        grant = access.Grant(reach(names), signed=signed_sources.of(names))
        _stand_on(access.prepare(reader_folder(), grant, [], announce=False))
    failed = access.unreadable(names[:1])
    if failed is not None:
        raise _refusal(failed)


def _behind_xrootd(names: Iterable[str]) -> dict[str, str]:
    """Return, by name, the URLs of those ``names`` that ROOT opens without the reader."""
    return {name: url for name, url in signed_sources.of(names).items() if not access.need_reader(name)}


_standing: list[access.Standing] = []  # the grant with which this process's ROOT opens files: the newest
_standing_lock = threading.Lock()


def _stand_on(newest: access.Standing) -> None:
    """Keep the grant ``newest`` in force, and end the one before it."""
    with _standing_lock:
        ended, _standing[:] = _standing[:], [newest]
    for grant in ended:
        _books.close(grant)


class _Books:
    """What this process has fetched of remote files, so that each byte is in the account of one data frame at most."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.over = self.accounted = access.Fetched()  # under grants that have ended; what is in an account, or in none
        self.counting = 0

    def add(self, more: access.Fetched) -> None:
        """Enter what did not come through the reader."""
        with self.lock:
            self.over += more

    def close(self, grant: access.Standing) -> None:
        """End a grant, and keep its figures."""
        with self.lock:
            self.over += grant.fetched()
        grant.close()

    def begin(self) -> None:
        """What is fetched from now on is for somebody."""
        with self.lock:
            if not self.counting:
                self.accounted = self._so_far()
            self.counting += 1

    def take(self) -> access.Fetched:
        """Return what was fetched since somebody began, or took; to be called once for each who began."""
        with self.lock:
            self.counting -= 1
            before, self.accounted = self.accounted, self._so_far()
            return self.accounted - before

    def _so_far(self) -> access.Fetched:
        with _standing_lock:
            standing = list(_standing)
        return sum((grant.fetched() for grant in standing), self.over)


_books = _Books()


@contextlib.contextmanager
def counted(account: Callable[[access.Fetched], None]) -> Iterator[None]:
    """Tell ``account``, at the end of the block, what this process has fetched of remote files meanwhile, if anything.

    Where blocks of several threads overlap, each byte is told to one of them. What another part of the program reads in that
    time is told, too.
    """
    _books.begin()
    try:
        yield
    finally:
        fetched = _books.take()
        if fetched.requests or fetched.bytes:
            account(fetched)


def _is_rntuple(name: str, url: str) -> bool:
    """Return whether the file ``url`` holds an RNTuple ``name``. Raises DataAccessError when it cannot be opened."""
    level, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kFatal
    try:
        with ROOT.TFile.Open(url) as file:
            key = file.GetKey(name)
            return bool(key) and "RNTuple" in str(key.GetClassName())
    except OSError as error:
        raise refused() or DataAccessError(f"{remote.shown(url)}: it is not a ROOT file") from error
    finally:
        ROOT.gErrorIgnoreLevel = level


def refused() -> DataAccessError | None:
    """Return what the reader last refused to this process's ROOT, as an error to raise; None if it refused nothing."""
    failed = access.take_failure()
    return None if failed is None else _refusal(failed)


def _refusal(failed: dict[str, Any]) -> DataAccessError:
    return credentials.told_beside(DataAccessError.of(failed))


# -- patterns -----------------------------------------------------------------------------------------------------------


def _is_pattern(name: str) -> bool:
    """Return whether we expand ``name``: ROOT expands local patterns; in an http URL a ``?`` begins a query."""
    scheme = name.partition("://")[0].lower() if access.is_remote(name) else ""
    if scheme in ("http", "https"):
        return False
    place = parted(name)[0] if scheme in xrootd.SCHEMES else name
    return glob.has_magic(place) and (bool(scheme) or "**" in name)


def _is_remote_pattern(name: str) -> bool:
    return access.is_remote(name) and _is_pattern(name)


def expand(names: str | Iterable[str]) -> list[str]:
    """Return patterns, or one, as sorted names, and everything else as it is.

    ``*``, ``?`` and ``[]`` do not cross a ``/``, ``**`` stands for any number of folders. Raises PlanError for a pattern
    that matches nothing, DataAccessError for a store that does not answer.
    """
    expanded = []
    for name in [names] if isinstance(names, str) else names:
        is_local_pattern = not access.is_remote(name) and glob.has_magic(name) and not os.path.exists(name)
        matches = _matches(name) if is_local_pattern or _is_pattern(name) else [name]
        if not matches:
            raise PlanError(f"expected files that match {name_of(name)}, found none")
        expanded += matches
    return expanded


def _matches(pattern: str) -> list[str]:
    if not access.is_remote(pattern):
        return sorted(glob.glob(pattern, recursive=True))
    scheme = pattern.partition("://")[0]
    pattern, query, _ = parted(pattern) if scheme in xrootd.SCHEMES else (pattern, "", "")
    rest = pattern.partition("://")[2]
    host, _, path = rest.partition("/")
    if scheme not in ("s3", *xrootd.SCHEMES) or not path or glob.has_magic(host):
        what = "expected a pattern of the form s3://bucket/path/*.root or root://host//path/*.root"
        raise PlanError(f"{what}, got {name_of(pattern)}")
    lead = "/" if path.startswith("/") else ""  # root://host//absolute/path
    try:
        found = sorted(_walk(f"{scheme}://{host}/{lead}", path.strip("/").split("/")))
    except remote.AccessFailure as failure:
        raise _refusal(failure.fields) from failure
    return [f"{name}?{query}" if query else name for name in found]


def _walk(folder: str, segments: list[str]) -> Iterator[str]:
    """Yield the files below ``folder`` (which ends in "/") that match the ``segments`` of a pattern."""
    first, *rest = segments
    if first == "**":
        yield from _anywhere(folder, rest)
    elif rest and not glob.has_magic(first):
        yield from _walk(f"{folder}{first}/", rest)
    else:
        folders, files = _listed(folder)
        for name in fnmatch.filter(folders if rest else files, first):
            yield from _walk(f"{folder}{name}/", rest) if rest else [folder + name]


def _anywhere(folder: str, rest: list[str]) -> Iterator[str]:
    """Yield the files at any depth of ``folder`` whose path ends in what matches ``rest``."""
    folders, _ = _listed(folder)
    yield from _walk(folder, rest or ["*"])
    for name in folders:
        yield from _anywhere(f"{folder}{name}/", rest)


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders, and of the files, that lie directly in the remote ``folder``."""
    if folder.startswith("s3://"):
        folders, objects = remote.list_folder(folder, object_stores.relevant(os.environ))
        return folders, [name for name, _, _ in objects]
    return _listed_by_root(folder)


def _listed_by_root(folder: str) -> tuple[list[str], list[str]]:
    """Return what :func:`_listed` does, asked through ROOT's own client: XRootD."""
    place = ROOT.gSystem.OpenDirectory(folder)
    if not place:
        why = "it cannot be listed: no such folder, or no access"
        raise remote.AccessFailure("missing", folder, why, f"xrdfs {folder.split('/')[2]} ls {folder.split('/', 3)[3]}")
    folders: list[str] = []
    files: list[str] = []
    try:
        while name := ROOT.gSystem.GetDirEntry(place):
            text = str(name).rpartition("/")[2]
            if text in ("", ".", ".."):
                continue
            status = ROOT.FileStat_t()
            is_folder = ROOT.gSystem.GetPathInfo(folder + text, status) == 0 and ROOT.R_ISDIR(status.fMode)
            (folders if is_folder else files).append(text)
    finally:
        ROOT.gSystem.FreeDirectory(place)
    return folders, files


# -- versions -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pinned(names: list[str], reader_folder: Callable[[], str]) -> Iterator[dict[str, str]]:
    """Yield the versions, by name, of the remote files among ``names``; meanwhile this process's ROOT opens them in these
    versions.

    They are opened side by side. Raises DataAccessError for a file that cannot be had.
    """
    if not any(map(access.is_remote, names)):
        yield {}
        return
    found = versions(names)
    urls = list(dict.fromkeys(name for name in names if access.need_reader(name)))
    free = access.Grant(reach(urls), signed=signed_sources.of(urls))
    if urls:
        _stand_on(access.prepare(reader_folder(), replace(free, versions=found), urls, announce=True))
    try:
        yield found
    finally:
        if urls:
            _stand_on(access.prepare(reader_folder(), free, [], announce=False))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version that each remote file among ``names`` is now, by name: what a worker finds must be the same.

    A folder of which many files are asked for is listed, one request per thousand files; others take one request each, side
    by side. Raises DataAccessError for a file that cannot be had.
    """
    names = [name for name in names if access.is_remote(name)]
    if not names:
        return {}
    known, urls = reach(names), signed_sources.of(names)
    signed_files.teach(_behind_xrootd(names))
    by_folder: dict[str, list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if access.is_remote(name) and not access.need_reader(name) and len(found) < MAX_ASKED:
            found[name] = xrootd.version_of(urls.get(name, name))
        elif access.need_reader(name):
            by_folder[object_stores.as_given(name).rpartition("/")[0] + "/"].append(name)
    single = []
    try:
        for folder, inside in by_folder.items():
            if folder.startswith("s3://") and len(inside) >= LIST_FROM:
                _, objects = remote.list_folder(folder, known)
                listed = {folder + name: version for name, _, version in objects}
                keys = {name: object_stores.as_given(name) for name in inside}
                found.update({name: listed[key] for name, key in keys.items() if key in listed})
                inside = [name for name in inside if name not in found]
            single += inside
        if single:
            with concurrent.futures.ThreadPoolExecutor(min(SIDE_BY_SIDE, len(single))) as pool:
                wanted = [urls.get(name, name) for name in single]
                found.update(zip(single, pool.map(lambda url: remote.version_of(url, known), wanted), strict=True))
                _books.add(access.Fetched(len(single), len(single)))  # a version is told with one byte
    except remote.AccessFailure as failure:
        raise _refusal(failure.fields) from failure
    return found
