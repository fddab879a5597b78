"""For reading: the store that a URL lies in (SCHEMES), asked with the right keys: signed or not, with a token or not.

``variables`` is always a mapping of environment variables (AWS_ENDPOINT_URL, AWS_PROFILE, SSL_CERT_FILE, …): what a driver
or a task was granted, not this process's own environment. S3 requests are signed (version 4), certificates are verified.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from .refusals import AccessFailure, explained, shown

__all__ = [
    "AUTHORITIES",
    "SCHEMES",
    "TOKEN",
    "as_given",
    "asked_at",
    "give_up_stores",
    "read",
    "relevant",
    "s3_store",
    "spelt_for_rntuple",
    "store_for",
    "store_of",
    "with_or_without_keys",
]

SCHEMES = ("s3", "https", "http")
T = TypeVar("T")
S3_HOST = "s3.rdf-lithops.invalid"  # how s3://bucket/key is spelt for RNTuple, which takes http:// and no s3://
RETRIES: dict[str, Any] = {"max_retries": 4, "retry_timeout": datetime.timedelta(seconds=60)}
TOKEN = "BEARER_TOKEN"
AUTHORITIES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_UNSIGNED = {"AWS_SKIP_SIGNATURE": "true"}
_public: set[str] = set()  # buckets that have answered without keys, when they had refused ours
_token_wanted: set[str] = set()  # hosts that have refused a request without one
_TRUE = ("1", "true", "yes", "on")


def spelt_for_rntuple(url: str) -> str:
    """Return ``url`` in the only spelling of it that RNTuple hands to a plug-in."""
    return f"http://{S3_HOST}/{url[5:]}" if url.startswith("s3://") else url


def as_given(url: str) -> str:
    """Return the URL that ``spelt_for_rntuple`` has spelt anew."""
    start = f"http://{S3_HOST}/"
    return "s3://" + url[len(start) :] if url.startswith(start) else url


def store_for(url: str, variables: Mapping[str, str]) -> tuple[Any, str]:
    """Return the obstore store that ``url`` lies in, and its path there. Raises AccessFailure for a URL that names no
    object."""
    url = as_given(url)
    parts = urlsplit(url.replace("#", "%23") if url.startswith("s3:") else url)
    frozen = tuple(sorted(variables.items()))
    if parts.scheme == "s3":
        bucket, key = parts.netloc, url[len(f"s3://{parts.netloc}/") :]
        if not bucket or not key:
            raise AccessFailure("malformed", shown(url), "expected s3://bucket/key", "check the name")
        return s3_store(bucket, frozen), key
    if parts.scheme in ("http", "https") and parts.netloc:
        if parts.query:  # a signature belongs to one object: it stays in the store's own URL
            return _http_store(url, frozen, ""), ""
        token = variables.get(TOKEN, "") if parts.netloc in _token_wanted and parts.scheme == "https" else ""
        return _http_store(f"{parts.scheme}://{parts.netloc}", frozen, token), unquote(parts.path).lstrip("/")
    raise AccessFailure("malformed", shown(url), f"expected a URL of {', '.join(SCHEMES)}", "check the name")


@functools.lru_cache(maxsize=64)
def s3_store(bucket: str, frozen: tuple[tuple[str, str], ...]) -> Any:
    """Return the store of a bucket, for variables as sorted pairs (``frozen``, so that they can be a key)."""
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


def store_of(bucket: str, endpoint: str, region: str, credentials: Any) -> Any:
    """Return the store of a bucket as a client of boto3 reaches it; ``credentials`` are botocore's, and renew themselves."""
    from obstore.store import S3Store

    given: dict[str, Any] = {"client_options": _client_options(endpoint, os.environ), "retry_config": RETRIES}
    given.update(endpoint=endpoint, region=region, virtual_hosted_style_request=False)
    return S3Store(bucket, credential_provider=_renewed(credentials), **given)


def read(store: Any, path: str) -> bytes:
    """Return an object of a store; raises FileNotFoundError where there is none, and obstore's errors."""
    from obstore.exceptions import NotFoundError

    try:
        return bytes(store.get(path).bytes())
    except NotFoundError as missing:
        raise FileNotFoundError(path) from missing


@functools.lru_cache(maxsize=256)
def _http_store(base: str, frozen: tuple[tuple[str, str], ...], token: str) -> Any:
    from obstore.store import HTTPStore

    options = _client_options(base, dict(frozen))
    if token:  # a redirection to another host takes it away again
        options["default_headers"] = {"Authorization": f"Bearer {token}"}
    given: dict[str, Any] = {"client_options": options, "retry_config": RETRIES}
    return HTTPStore(base, **given)


def asked_at(url: str, variables: Mapping[str, str], ask: Callable[[Any, str], T]) -> T:  # decision 64
    """Return what ``ask(store, path)`` gives for that URL.

    An https server that refuses is asked once more with the bearer token, if there is one, and from then on at once: no
    server gets a token that did not ask for one. S3 refuses keys that it does not know where it would ask for none, so it is
    asked once more without.
    """
    host = urlsplit(url).netloc
    if url.startswith("s3:"):
        return with_or_without_keys(url, host, variables, lambda given: ask(*store_for(url, given)))
    brought_one = host in _token_wanted  # looked up before: others that ask at the same time add to it
    try:
        return ask(*store_for(url, variables))
    except Exception as error:
        is_refused = type(error).__name__ in ("UnauthenticatedError", "PermissionDeniedError")
        if not is_refused or not variables.get(TOKEN) or not url.startswith("https:") or brought_one:
            raise
        _token_wanted.add(host)
    return ask(*store_for(url, variables))


def with_or_without_keys(url: str, bucket: str, variables: Mapping[str, str], ask: Callable[[Mapping[str, str]], T]) -> T:
    """Return what ``ask`` gives with our keys, or without any if the store refuses those; raise what was said to our
    keys."""
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
    s3_store.cache_clear()
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
    """Return botocore's session, which knows the usual chain (profiles, SSO, roles); None where it is not installed."""
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
    """Return what obstore calls for credentials, again when they are about to expire."""

    def provide() -> dict[str, Any]:
        credentials = session.get_credentials()
        if credentials is None:
            why = "no S3 credentials were found here (variables, profile, role)"
            raise AccessFailure("unauthenticated", place, why, f"rdf-lithops auth status {place}")
        return _as_now(credentials)

    return provide


def _renewed(credentials: Any) -> Any:
    return lambda: _as_now(credentials)


def _as_now(credentials: Any) -> dict[str, Any]:
    frozen = credentials.get_frozen_credentials()
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        "expires_at": datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5),
    }


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of an environment that decide how remote data is reached."""
    names = (*AUTHORITIES, "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in environment.items() if name.startswith("AWS_") or name in names}
