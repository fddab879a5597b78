"""Remote objects by URL: where they are, how big, which bytes. The only user of obstore.

``variables`` is always a mapping of environment variables (AWS_ENDPOINT_URL, AWS_PROFILE, SSL_CERT_FILE, …): what a driver
or a task was granted, not this process's own environment. S3 requests are signed (version 4), certificates are verified.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from .refusals import FINAL, AccessFailure, changed, explained, shown, truncated

__all__ = [
    "FINAL",
    "SCHEMES",
    "AccessFailure",
    "RemoteObject",
    "as_given",
    "changed",
    "fetch_extent",
    "give_up_stores",
    "list_folder",
    "open_object",
    "relevant",
    "shown",
    "size_and_version",
    "spelt_for_rntuple",
    "store_for",
    "truncated",
    "version_of",
]

SCHEMES = ("s3", "https", "http")
T = TypeVar("T")
S3_HOST = "s3.rdf-lithops.invalid"  # how s3://bucket/key is spelt for RNTuple, which takes http:// and no s3://
PIECE_BYTES = 256 << 10
TAIL_BYTES = 256 << 10  # fetched with the size: keys, streamers and the tree of most files, all of a small one
RETRIES: dict[str, Any] = {"max_retries": 4, "retry_timeout": datetime.timedelta(seconds=60)}
TOKEN = "BEARER_TOKEN"
AUTHORITIES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_UNSIGNED = {"AWS_SKIP_SIGNATURE": "true"}
_public: set[str] = set()  # buckets that have answered without keys, when they had refused ours
_token_wanted: set[str] = set()  # hosts that have refused a request without one
_TRUE = ("1", "true", "yes", "on")


def spelt_for_rntuple(url: str) -> str:
    """``url`` in the only spelling of it that RNTuple hands to a plug-in."""
    return f"http://{S3_HOST}/{url[5:]}" if url.startswith("s3://") else url


def as_given(url: str) -> str:
    """The inverse of :func:`spelt_for_rntuple`."""
    start = f"http://{S3_HOST}/"
    return "s3://" + url[len(start) :] if url.startswith(start) else url


# -- stores -----------------------------------------------------------------------------------------------------------


def store_for(url: str, variables: Mapping[str, str]) -> tuple[Any, str]:
    """The obstore store that ``url`` lies in, and its path there; AccessFailure for a URL that names no object."""
    url = as_given(url)
    parts = urlsplit(url.replace("#", "%23") if url.startswith("s3:") else url)
    frozen = tuple(sorted(variables.items()))
    if parts.scheme == "s3":
        bucket, key = parts.netloc, url[len(f"s3://{parts.netloc}/") :]
        if not bucket or not key:
            raise AccessFailure("malformed", shown(url), "expected s3://bucket/key", "check the name")
        return _s3_store(bucket, frozen), key
    if parts.scheme in ("http", "https") and parts.netloc:
        if parts.query:  # a signature belongs to one object: it stays in the store's own URL
            return _http_store(url, frozen, ""), ""
        token = variables.get(TOKEN, "") if parts.netloc in _token_wanted and parts.scheme == "https" else ""
        return _http_store(f"{parts.scheme}://{parts.netloc}", frozen, token), unquote(parts.path).lstrip("/")
    raise AccessFailure("malformed", shown(url), f"expected a URL of {', '.join(SCHEMES)}", "check the name")


@functools.lru_cache(maxsize=64)
def _s3_store(bucket: str, frozen: tuple[tuple[str, str], ...]) -> Any:
    from obstore.store import S3Store

    variables = dict(frozen)
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    session = None if _is_static(variables) else _botocore_session(frozen)
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    if session is not None:
        endpoint = endpoint or session.get_scoped_config().get("endpoint_url")
        region = region or session.get_config_variable("region")
    given: dict[str, Any] = {"region": region or "us-east-1", "retry_config": RETRIES}
    given["client_options"] = _client_options(endpoint or "", variables)
    if endpoint:
        given.update(endpoint=endpoint, virtual_hosted_style_request=False)
    if _is_anonymous(variables):
        given["skip_signature"] = True
    elif session is not None:
        given["credential_provider"] = _chain(session, f"s3://{bucket}")
    elif _is_static(variables):
        given.update(access_key_id=variables["AWS_ACCESS_KEY_ID"], secret_access_key=variables["AWS_SECRET_ACCESS_KEY"])
        if variables.get("AWS_SESSION_TOKEN"):
            given["session_token"] = variables["AWS_SESSION_TOKEN"]
    return S3Store(bucket, **given)


@functools.lru_cache(maxsize=256)
def _http_store(base: str, frozen: tuple[tuple[str, str], ...], token: str) -> Any:
    from obstore.store import HTTPStore

    options = _client_options(base, dict(frozen))
    if token:  # a redirection to another host takes it away again
        options["default_headers"] = {"Authorization": f"Bearer {token}"}
    given: dict[str, Any] = {"client_options": options, "retry_config": RETRIES}
    return HTTPStore(base, **given)


def _asked_at(url: str, variables: Mapping[str, str], ask: Callable[[Any, str], T]) -> T:
    """What ``ask(store, path)`` gives for that URL. An https server that refuses is asked once more with the bearer token,
    if there is one, and from then on at once: nobody gets a token who did not ask for it. S3 refuses keys that it does not
    know where it would ask for none, so it is asked once more without."""
    host = urlsplit(url).netloc
    if url.startswith("s3:"):
        return _with_or_without_keys(url, host, variables, lambda given: ask(*store_for(url, given)))
    brought_one = host in _token_wanted  # looked up before: others that ask at the same time add to it
    try:
        return ask(*store_for(url, variables))
    except Exception as error:
        is_refused = type(error).__name__ in ("UnauthenticatedError", "PermissionDeniedError")
        if not is_refused or not variables.get(TOKEN) or not url.startswith("https:") or brought_one:
            raise
        _token_wanted.add(host)
    return ask(*store_for(url, variables))


def _with_or_without_keys(url: str, bucket: str, variables: Mapping[str, str], ask: Callable[[Mapping[str, str]], T]) -> T:
    """What ``ask`` gives with our keys, or without any if the store refuses those; raises what was said to our keys."""
    if _is_anonymous(variables):
        return ask(variables)
    unsigned = {**variables, **_UNSIGNED}
    if bucket in _public:
        with contextlib.suppress(Exception):  # public in part: ours may open the others
            return ask(unsigned)
    try:
        return ask(variables)
    except Exception as error:
        if explained(error, url).kind not in ("denied", "expired", "unauthenticated"):
            raise
        with contextlib.suppress(Exception):
            found = ask(unsigned)
            _public.add(bucket)
            return found
        raise


def give_up_stores() -> None:
    """Let go of all stores, and so of their keys and open connections; those that objects still have stay with them."""
    _s3_store.cache_clear()
    _http_store.cache_clear()
    _token_wanted.clear()
    _public.clear()


def _client_options(url: str, variables: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "10min"}
    options["allow_http"] = url.startswith("http:")
    trusted = dict.fromkeys(variables[name] for name in AUTHORITIES if variables.get(name))
    certificates = [path.read_bytes() for path in map(Path, trusted) if path.is_file()]
    if certificates:  # beside those of the system
        options["root_certificate"] = b"\n".join(certificates)
    return options


def _is_static(variables: Mapping[str, str]) -> bool:
    return bool(variables.get("AWS_ACCESS_KEY_ID") and variables.get("AWS_SECRET_ACCESS_KEY"))


def _is_anonymous(variables: Mapping[str, str]) -> bool:
    return any(variables.get(name, "").lower() in _TRUE for name in ("AWS_NO_SIGN_REQUEST", "AWS_SKIP_SIGNATURE"))


def _botocore_session(frozen: tuple[tuple[str, str], ...]) -> Any:
    """botocore knows the usual chain (profiles, SSO, roles); None without it: then obstore's own, shorter one is used."""
    try:
        import botocore.session
    except ModuleNotFoundError:
        return None
    variables = dict(frozen)
    session = botocore.session.Session(profile=variables.get("AWS_PROFILE"))
    for name, variable in (("credentials_file", "AWS_SHARED_CREDENTIALS_FILE"), ("config_file", "AWS_CONFIG_FILE")):
        if variables.get(variable):
            session.set_config_variable(name, variables[variable])
    return session


def _chain(session: Any, place: str) -> Callable[[], dict[str, Any]]:
    """What obstore calls for credentials, again when they are about to expire."""

    def provide() -> dict[str, Any]:
        credentials = session.get_credentials()
        if credentials is None:
            why = "no S3 credentials were found here (variables, profile, role)"
            raise AccessFailure("unauthenticated", place, why, f"rdf-lithops auth status {place}")
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5),
        }

    return provide


# -- objects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RemoteObject:
    """One version of a remote file: ``identity`` is its ETag (or time of change) and size. ``tail`` is its last bytes.

    ``whole``: its server gives it whole or not at all.
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
        """Differs between versions of the file."""
        return _version(self.etag, self.modified, self.size)

    def travelling(self, start: int, end: int) -> int:
        """How many bytes its server sends where bytes [start, end) are asked for."""
        return self.size if self.whole else end - start

    def fetch(self, start: int, end: int) -> Any:
        """Bytes [start, end) as a buffer; AccessFailure when there are fewer, or the file is no longer this version."""
        with _explained(self.url):
            answer = self._asked(start, end)
            data = memoryview(answer.bytes())
        data = data[start:end] if self.whole else data
        if len(data) != end - start:
            raise truncated(self.url, f"expected bytes {start} to {end}, got {len(data)}")
        return data

    def pieces(self, start: int, end: int) -> Iterator[Any]:
        """As ``fetch``, in pieces as they arrive: no buffer for all of it is filled and emptied again."""
        if self.whole:
            yield self.fetch(start, end)
            return
        at = start
        with _explained(self.url):
            for piece in self._asked(start, end).stream(min_chunk_size=PIECE_BYTES):
                at += len(piece)
                yield piece
        if at != end:
            raise truncated(self.url, f"expected bytes {start} to {end}, got {at - start}")

    def _asked(self, start: int, end: int) -> Any:
        """The server's answer, if it is of this version."""
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
    """Errors of the transfer library become AccessFailures."""
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
        return _asked_at(url, variables, ask)


def size_and_version(url: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """How large ``url`` is, and its version."""
    version = version_of(url, variables)
    return int(version.rpartition(":")[2]), version


def fetch_extent(url: str, start: int, end: int, version: str, variables: Mapping[str, str]) -> bytes:
    """Bytes [start, end) of that version of ``url``; AccessFailure when it is another one by now, or bytes are missing."""
    import obstore

    options: Any = {"range": (start, end)}

    def ask(store: Any, path: str) -> tuple[Any, bytes]:
        answer = obstore.get(store, path, options=options)
        return answer.meta, bytes(answer.bytes())

    with _explained(url):
        meta, data = _asked_at(url, variables, ask)
    if _version(meta["e_tag"], _modified(meta), meta["size"]) != version:
        raise changed(url)
    if len(data) != end - start:
        raise truncated(url, f"expected bytes {start} to {end}, got {len(data)}")
    return data


def version_of(url: str, variables: Mapping[str, str]) -> str:
    """The version that ``url`` is now, without its data; AccessFailure when it cannot be had."""
    import obstore

    url = as_given(url)

    def ask(store: Any, path: str) -> Any:
        try:
            # not HEAD: its answers do not say what is wrong, and a presigned URL allows GET alone
            return obstore.get(store, path, options={"range": (0, 1)}).meta
        except obstore.exceptions.NotSupportedError:
            return obstore.head(store, path)

    with _explained(url):
        meta = _asked_at(url, variables, ask)
    return _version(meta["e_tag"], _modified(meta), meta["size"])


def _modified(meta: Any) -> str:
    return str(meta["last_modified"])


def _version(etag: str | None, modified: str, size: int) -> str:
    return f"{etag or modified}:{size}"


def list_folder(url: str, variables: Mapping[str, str]) -> tuple[list[str], list[tuple[str, int, str]]]:
    """What lies directly in the S3 folder ``url`` (``s3://bucket/a/``): folders; names, sizes, versions of objects."""
    import obstore

    bucket, _, prefix = url[len("s3://") :].partition("/")
    prefix = prefix.strip("/")

    def ask(given: Mapping[str, str]) -> Any:
        return obstore.list_with_delimiter(_s3_store(bucket, tuple(sorted(given.items()))), prefix or None)

    try:
        found = _with_or_without_keys(url, bucket, variables, ask)
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


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables of an environment that decide how remote data is reached."""
    names = (*AUTHORITIES, "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in environment.items() if name.startswith("AWS_") or name in names}
