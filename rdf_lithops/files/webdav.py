"""Files written over http(s): WebDAV, as XrdHttp and nginx speak it. What is read comes through the reader.

A server of this kind shows a file while it arrives, and keeps what an interrupted writer has sent: so files are sent under
another name, and moved. Certificates are verified; the bearer token goes over https alone, to a server that has refused to
go without.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from ..travels import sealed
from . import object_stores
from .store_protocol import PART, StoreFailure, split

__all__ = ["WebDAV"]

MISSING = (404, 410)
PASSING = (408, 409, 423, 425, 429)  # refusals that another try may not meet: 409 is a folder that is being made
REASONS = {
    401: "access is denied (401)",
    403: "access is denied (403)",
    404: "there is no such file or folder (404)",
    405: "its server lets nobody write there: it speaks no WebDAV (405)",
    409: "the folder is not there (409)",
    413: "its server takes no files of that size (413)",
    501: "its server lets nobody write there: it speaks no WebDAV (501)",
    507: "its server has no space left (507)",
}
_token_wanted: set[str] = set()  # hosts that have refused a request without one


class WebDAV:
    """The store of files over http(s); store_protocol.Store says what each operation promises."""

    def prepare(self, folder: str) -> None:
        """Make ``folder``, which some servers do not make for a file. If that fails, ``put`` says why."""
        what = f"cannot make {folder}"
        if _asked("PROPFIND", folder, what, {"Depth": "0"}, fine=MISSING)[0] in MISSING:
            _asked("MKCOL", folder, what, fine=range(300, 500))

    def put(self, path: str, url: str, replace: bool) -> None:  # decision 76
        """Ask first: a file that is there need not be sent, and a server that wants a token says so before it is sent."""
        what = f"cannot write {url}"
        if _asked("PROPFIND", url, what, {"Depth": "0"}, fine=MISSING)[0] not in MISSING and not replace:
            return
        staged = f"{url}.{secrets.token_hex(4)}{PART}"
        try:
            with open(path, "rb") as stream:
                _asked("PUT", staged, what, {"Content-Length": str(os.path.getsize(path))}, body=stream)
            moving = {"Destination": url, "Overwrite": "T" if replace else "F"}
            status, _ = _asked("MOVE", staged, what, moving, fine=(412,))  # 412: somebody else was first
        except BaseException:
            with contextlib.suppress(StoreFailure):  # it says no better what is wrong
                self.remove([staged])
            raise
        if status == 412:
            self.remove([staged])

    def fetch(self, url: str, path: str) -> None:
        with open(path, "wb") as stream:
            _asked("GET", url, f"cannot read {url}", into=stream)

    def sizes(self, folder: str, prefix: str) -> dict[str, int]:
        return {url: size for url, size in _listed(folder, prefix) if PART not in split(url)[1]}

    def remove(self, urls: Iterable[str]) -> None:
        for url in urls:
            _asked("DELETE", url, f"cannot remove {url}", fine=MISSING)

    def abandon(self, folder: str, prefix: str) -> None:
        self.remove(url for url, _ in _listed(folder, prefix) if url.endswith(PART))


def _listed(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield URLs and sizes in bytes of the files in ``folder`` whose names start with ``prefix``, spelt as both are."""
    status, body = _asked("PROPFIND", folder, f"cannot list {folder}", {"Depth": "1"}, fine=MISSING)
    if status in MISSING:
        return
    try:
        answers = ElementTree.fromstring(body).findall("{DAV:}response")
    except ElementTree.ParseError as error:
        raise StoreFailure(f"cannot list {folder}", "its server's answer is no list of files", True) from error
    for answer in answers:
        name = unquote(urlsplit(answer.findtext("{DAV:}href", "")).path).rpartition("/")[2]
        is_file = answer.find(".//{DAV:}resourcetype/{DAV:}collection") is None
        if name.startswith(unquote(prefix)) and is_file:
            rest = quote(name.removeprefix(unquote(prefix)))
            yield f"{folder}{prefix}{rest}", int(answer.findtext(".//{DAV:}getcontentlength", "0"))


def _asked(
    method: str,
    url: str,
    what: str,
    headers: Mapping[str, str] | None = None,
    body: BinaryIO | None = None,
    into: BinaryIO | None = None,
    fine: Collection[int] = (),
) -> tuple[int, bytes]:
    """Send a request; return the server's status and answer. A good answer is written ``into`` a file, if there is one.

    Raises StoreFailure, which begins with ``what``, for a status of 300 or more that is not among the ``fine`` ones.
    """
    import urllib3

    host, token = urlsplit(url).netloc, sealed.bearer_token() if url.startswith("https:") else ""
    trials = [token] if host in _token_wanted or not token else ["", token]
    # none is kept: a process that is forked from this one must not share its connections
    with urllib3.PoolManager(
        ssl_context=_trust(_authorities()), retries=_retries(), timeout=urllib3.Timeout(10, 120)
    ) as pool:
        try:
            for trial in trials:
                sent = {**(headers or {}), **({"Authorization": f"Bearer {trial}"} if trial else {})}
                if body is not None:
                    body.seek(0)
                answer = pool.request(method, url, headers=sent, body=body, preload_content=False)
                if answer.status not in (401, 403):
                    break
                answer.drain_conn()
            if token and trial:
                _token_wanted.add(host)
            if into is not None and answer.status < 300:
                shutil.copyfileobj(answer, into)
            said = answer.read()
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(what, error) from None
    if answer.status >= 300 and answer.status not in fine:
        with_token = "also with the bearer token" if token else "no bearer token was found here"
        raise _refused(what, answer.status, with_token if url.startswith("https:") else "no bearer token goes over http")
    return answer.status, said


def _retries() -> Any:
    import urllib3

    # "other" are certificates, which another try finds as they are; all of our requests may be sent twice
    busy = (429, 500, 502, 503, 504)
    return urllib3.Retry(5, other=0, allowed_methods=None, status_forcelist=busy, backoff_factor=0.2, raise_on_status=False)


def _authorities() -> tuple[str, ...]:
    named = [os.environ.get(name, "") for name in object_stores.AUTHORITIES]
    return tuple(dict.fromkeys(path for path in named if os.path.isfile(path)))


@functools.lru_cache(maxsize=4)
def _trust(authorities: tuple[str, ...]) -> ssl.SSLContext:
    """Return a context that verifies certificates with these authorities, beside those of the system."""
    context = ssl.create_default_context()
    context.load_default_certs()
    for path in authorities:
        context.load_verify_locations(path)
    return context


def _refused(what: str, status: int, with_token: str) -> StoreFailure:
    why = REASONS.get(status, f"the server answered with status {status}")
    if status in (401, 403):
        why += f"; {with_token}"
    return StoreFailure(what, why, (status < 500 and status not in PASSING) or status == 501)


def _unreachable(what: str, error: Exception) -> StoreFailure:
    import urllib3

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        remedy = "set SSL_CERT_FILE (or AWS_CA_BUNDLE) to the authority's certificate"
        return StoreFailure(what, f"its certificate is not signed by an authority that is trusted here: {remedy}", True)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return StoreFailure(what, "there is no host of that name", True)
    return StoreFailure(what, f"the server does not answer ({type(reason).__name__})", False)
