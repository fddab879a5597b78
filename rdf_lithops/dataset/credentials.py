"""Find the credentials that data needs, on the driver; say until when they are good; seal them for the workers.

Nothing here shows, logs or keeps what a credential is made of: only its kind, where it was found, whose it is and when it
ends.
"""

from __future__ import annotations

import base64
import configparser
import io
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from ..errors import CredentialsError, DataAccessError
from ..files import object_stores, xrootd
from ..options import CREDENTIAL_KINDS
from ..travels import sealed as far
from ..travels.sealed import Sealed, pack, read_found, token_files
from .tickets import copied, file_of, principal_and_end

__all__ = [
    "Credential",
    "Keyring",
    "describe",
    "find",
    "for_run",
    "is_usable",
    "kinds_for",
    "of_signed_urls",
    "told_beside",
]

logger = logging.getLogger(__name__)

SERVICES = {  # scheme of a URL: the kinds that its servers may ask for
    **dict.fromkeys(xrootd.SCHEMES, ("krb5", "x509", "token", "sss")),
    "https": ("token",),  # nothing here opens https with a proxy, so none travels
    "s3": ("s3",),
}
RENEW = {
    "krb5": "kinit",
    "x509": "voms-proxy-init, or xrdgsiproxy init",
    "token": "htgettoken, or oidc-token > $XDG_RUNTIME_DIR/bt_u$(id -u)",
    "sss": "ask the storage's administrators for a key, and set XrdSecSSSKT",
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws configure",
}


@dataclass(frozen=True)
class Credential:
    """One credential that was found.

    ``source`` is the file or variable that it comes from, ``holder`` the name in it, if it has one; ``expires`` is in UTC,
    None where it names no end. ``trouble`` says why it cannot be used, and is empty where it can. ``files`` (contents by
    name) and ``environment`` (variables) are what a worker gets: secrets are in files alone.
    """

    kind: str
    source: str
    holder: str = ""
    expires: datetime | None = None
    trouble: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def left(self, now: datetime) -> timedelta | None:
        """Return how long it is still good, from ``now`` on; None where it names no end."""
        return None if self.expires is None else self.expires - now


# -- finding ----------------------------------------------------------------------------------------------------------


def find(kinds: Iterable[str] | None = None) -> list[Credential]:
    """Find the credentials of this process's user, at most one of each of ``kinds`` (None: of all); one that cannot be used
    says why."""
    found = (_FINDERS[kind]() for kind in (CREDENTIAL_KINDS if kinds is None else kinds))
    return [credential for credential in found if credential is not None]


def _kerberos() -> Credential | None:
    """Look for the cache that KRB5CCNAME names, or the default one: a file, one of a folder of files, or, where the package
    ``krb5`` is installed, of any kind that Kerberos knows."""
    chosen, default = os.environ.get("KRB5CCNAME"), f"FILE:{far.SHARED}/krb5cc_{os.getuid()}"
    name = chosen or default
    path, data, trouble = file_of(name) or name, None, ""
    if path != name or ":" not in name:
        data, trouble = _read(path, bool(chosen))
    else:
        try:
            data = copied(name)
        except OSError as problem:
            trouble = f"{problem}; run: kinit"
        if data is None and not trouble:
            instead = f"pip install krb5, or: export KRB5CCNAME={default}; kinit"
            trouble = f"a cache of type {name.partition(':')[0]} cannot be copied without the package krb5; {instead}"
    if data is None:
        return Credential("krb5", path, trouble=trouble) if trouble else None
    files, environment = {"krb5cc": data}, {"KRB5CCNAME": "FILE:{folder}/krb5cc"}
    settings, _ = read_found(os.environ.get("KRB5_CONFIG") or "/etc/krb5.conf", chosen=True)
    if settings is not None:
        files["krb5.conf"], environment["KRB5_CONFIG"] = settings, "{folder}/krb5.conf"
    try:
        holder, expires = principal_and_end(data)
    except ValueError:
        return Credential("krb5", path, trouble="this is not a Kerberos cache of format 4")
    trouble = "" if expires is not None else "there is no ticket-granting ticket in it"
    return Credential("krb5", path, holder, expires, trouble, files, environment)


def _proxy() -> Credential | None:
    chosen = os.environ.get("X509_USER_PROXY")
    path = chosen or f"{far.SHARED}/x509up_u{os.getuid()}"
    data, trouble = _read(path, bool(chosen))
    if data is None:
        return Credential("x509", path, trouble=trouble) if trouble else None
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(data)
    except ValueError:
        return Credential("x509", path, trouble="there is no certificate in it")
    if b"PRIVATE KEY-----" not in data:
        return Credential("x509", path, trouble="there is no private key in it: this is a certificate, not a proxy")
    holder = chain[0].issuer.rfc4514_string()  # a proxy is issued by whom it stands for
    expires = min(certificate.not_valid_after_utc for certificate in chain)
    return Credential("x509", path, holder, expires, "", {"x509": data}, {"X509_USER_PROXY": "{folder}/x509"})


def _token() -> Credential | None:
    """Look for a token in WLCG's order: BEARER_TOKEN, BEARER_TOKEN_FILE, the user's runtime folder, /tmp."""
    value = os.environ.get("BEARER_TOKEN")
    if value:
        return _read_token("BEARER_TOKEN", value.encode())
    for path, chosen in token_files():
        data, trouble = _read(path, chosen)
        if data is not None:
            return _read_token(path, data)
        if trouble:
            return Credential("token", path, trouble=trouble)
    return None


def _read_token(source: str, data: bytes) -> Credential:
    data = data.strip()
    files, environment = {"token": data}, {"BEARER_TOKEN_FILE": "{folder}/token"}
    try:  # a JSON Web Token says in its middle part whose it is and when it ends; other tokens are opaque
        middle = data.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))
        expires = datetime.fromtimestamp(claims["exp"], timezone.utc)
        holder = f"{claims.get('sub', '')} of {claims.get('iss', '')}"
    except (ValueError, IndexError, KeyError, TypeError):
        return Credential("token", source, "", None, "", files, environment)
    return Credential("token", source, holder, expires, "", files, environment)


def _shared_secret() -> Credential | None:
    variable = next((name for name in ("XrdSecSSSKT", "XrdSecsssKT") if os.environ.get(name)), None)
    path = os.environ[variable] if variable else os.path.expanduser("~/.xrd/sss.keytab")
    data, trouble = _read(path, variable is not None)
    if data is None:
        return Credential("sss", path, trouble=trouble) if trouble else None
    words = [
        dict(word.split(":", 1) for word in line.split() if ":" in word) for line in data.decode("latin-1").splitlines()
    ]
    ends = [int(line["e"]) for line in words if line.get("e", "").isdigit()]
    if not any("k" in line for line in words):
        return Credential("sss", path, trouble="there is no key in it")
    expires = None if not ends or 0 in ends else datetime.fromtimestamp(max(ends), timezone.utc)
    holder = next((line["n"] for line in words if "n" in line), "")
    return Credential("sss", path, holder, expires, "", {"sss": data}, {"XrdSecSSSKT": "{folder}/sss"})


def _s3_keys() -> Credential | None:
    """Ask the chain of AWS's own libraries (variables, profiles, roles) where botocore is installed, else look at the
    variables."""
    keys, source, expires, environment = _aws_chain()
    if keys is None:
        return Credential("s3", "AWS", trouble=source) if source else None
    profile = configparser.RawConfigParser()
    profile["default"] = keys
    text = io.StringIO()
    profile.write(text)
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        if os.environ.get(variable):
            environment[variable] = os.environ[variable]
    environment.update(AWS_SHARED_CREDENTIALS_FILE="{folder}/s3", RDF_LITHOPS_S3_KEYS="{folder}/s3")
    holder = f"key …{keys['aws_access_key_id'][-4:]}"
    return Credential("s3", source, holder, expires, "", {"s3": text.getvalue().encode()}, environment)


def _aws_chain() -> tuple[dict[str, str] | None, str, datetime | None, dict[str, str]]:
    """Return the keys, where they were found, when they end, and the endpoint and region that the user's profile names.

    Without keys the second value says why they cannot be had; it is empty where there are none.
    """
    try:
        import botocore.exceptions
        import botocore.session
    except ModuleNotFoundError:
        given: Any = [os.environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
        keys = _aws_keys(*given)
        return keys, "AWS_ACCESS_KEY_ID" if keys else "", None, {}
    session = botocore.session.Session()
    try:
        credentials, settings = session.get_credentials(), session.get_scoped_config()
        if credentials is None:
            return None, "", None, {}
        frozen = credentials.get_frozen_credentials()  # asks the service that gives them, where they are not at hand
    except botocore.exceptions.ProfileNotFound as error:
        logger.warning("no S3 keys: %s", error)
        return None, "", None, {}
    except botocore.exceptions.BotoCoreError as error:
        return None, f"they cannot be had: {error}", None, {}
    expires = getattr(credentials, "_expiry_time", None)  # of those that a role gave
    named = {"AWS_ENDPOINT_URL": settings.get("endpoint_url"), "AWS_DEFAULT_REGION": session.get_config_variable("region")}
    environment = {name: str(value) for name, value in named.items() if value}
    return _aws_keys(frozen.access_key, frozen.secret_key, frozen.token), str(credentials.method), expires, environment


def _aws_keys(key: str | None, secret: str | None, token: str | None) -> dict[str, str] | None:
    if not key or not secret:
        return None
    session = {"aws_session_token": token} if token else {}
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, **session}


# one for each of CREDENTIAL_KINDS
_FINDERS: dict[str, Callable[[], Credential | None]] = {
    "krb5": _kerberos,
    "x509": _proxy,
    "token": _token,
    "sss": _shared_secret,
    "s3": _s3_keys,
}


def _read(path: str, chosen: bool) -> tuple[bytes | None, str]:
    """Read as ``sealed.read_found`` does; the user is warned of a file that others can read."""
    data, trouble = read_found(path, chosen)
    if data is not None and os.path.isfile(path) and os.stat(path).st_mode & 0o044:
        _warn_once("others can read your credential in %s: run chmod 600 %s", path, path)
    return data, trouble


_warned: set[tuple[str, ...]] = set()  # of this program: a notebook asks for the same credentials at each query


def _warn_once(message: str, *given: str) -> None:
    if (message, *given) not in _warned:
        _warned.add((message, *given))
        logger.warning(message, *given)


def of_signed_urls(signed: Mapping[str, str]) -> list[Credential]:
    """Make credentials of signed URLs, given by the names that stand for them: whoever holds such a URL may read."""
    if not signed:
        return []
    environment = {"RDF_LITHOPS_SIGNED": "{folder}/signed"}
    return [
        Credential("signed", "the run's URLs", files={"signed": json.dumps(dict(signed)).encode()}, environment=environment)
    ]


# -- for a run --------------------------------------------------------------------------------------------------------


def kinds_for(urls: Iterable[str]) -> tuple[str, ...]:
    """The kinds of credentials that the servers of ``urls`` may ask for: none for local paths and plain http."""
    schemes = {urlsplit(object_stores.as_given(url)).scheme for url in urls}  # of an RNTuple in S3 ROOT is told another
    wanted = {kind for scheme in schemes for kind in SERVICES.get(scheme, ())}
    return tuple(kind for kind in CREDENTIAL_KINDS if kind in wanted)


def for_run(  # decision 114
    kinds: Sequence[str], limit_s: float | None, asked: bool = False, now: datetime | None = None
) -> list[Credential]:
    """The usable credentials of ``kinds`` for a run of at most ``limit_s`` (None: not limited by the user).

    Whether a server wants one nobody knows before it is asked: what cannot be used is left out with a warning, and so is
    told what ends before the limit, or, without one, within the hour. If the user has ``asked`` for these kinds himself,
    one that cannot be used, or ends before the limit, is a CredentialsError.
    """
    now = now or datetime.now(timezone.utc)
    found = find(kinds)
    for item in found:
        why, until = _unusable(item, now), f"{item.source} ends at {item.expires}"
        if why and asked:
            raise CredentialsError(f"the {item.kind} credential of options.credentials cannot be used", why, _renewal(item))
        if why:
            _warn_once("%s: left out, as a server may not want it; if it does: %s", why, RENEW[item.kind])
        elif limit_s is not None and _ends_within(item, limit_s, now):
            what = f"the {item.kind} credential would end before the run's deadline of {limit_s} s"
            if asked:
                raise CredentialsError(what, until, _renewal(item))
            _warn_once("%s: %s; renew it if a server wants it: %s", what, until, RENEW[item.kind])
        elif limit_s is None and _ends_within(item, 3600, now):
            _warn_once("the %s credential in %s; renew it for a long run: %s", item.kind, until, RENEW[item.kind])
    return [item for item in found if is_usable(item, now)]


def _unusable(credential: Credential, now: datetime) -> str:
    """Say why a credential cannot be used; empty where it can."""
    why = credential.trouble or f"expired at {credential.expires}"
    return "" if is_usable(credential, now) else f"{credential.kind} ({credential.source}): {why}"


def _renewal(credential: Credential) -> str:
    return f"renew it: {RENEW[credential.kind]}"


REFUSALS = ("denied", "expired", "unauthenticated")


def told_beside(refusal: DataAccessError, now: datetime | None = None) -> DataAccessError:
    """Add to a server's ``refusal`` which of the user's own credentials for it could not be used, and how to renew them."""
    now = now or datetime.now(timezone.utc)
    left_out = [item for item in find(kinds_for([refusal.url])) if not is_usable(item, now)]
    if refusal.kind in REFUSALS and left_out and not refusal.why:
        refusal.why = "there are credentials that cannot be used: " + "; ".join(_unusable(item, now) for item in left_out)
        refusal.next_command = "renew it: " + "; or ".join(RENEW[item.kind] for item in left_out)
    return refusal


def is_usable(credential: Credential, now: datetime) -> bool:
    """Return whether ``credential`` could be given to workers: it has no trouble and has not expired."""
    return not credential.trouble and not _ends_within(credential, 0, now)


def describe(kind: str, credential: Credential | None, now: datetime) -> str:
    """Describe for people, in a line or two, what there is of ``kind``: whose, until when, and what to do where it is of no
    use."""
    if credential is None:
        return f"{kind:6}none            next: {RENEW[kind]}"
    where = f"{credential.source}" + (f" ({credential.holder})" if credential.holder else "")
    if credential.trouble:
        return f"{kind:6}unusable        {where}: {credential.trouble}"
    left = credential.left(now)
    if left is None:
        return f"{kind:6}usable          {where}: it names no end"
    until = f"{credential.expires:%Y-%m-%d %H:%M} UTC"
    if left.total_seconds() <= 0:
        return f"{kind:6}expired         {where}: ended {until}\n      next: {RENEW[kind]}"
    return f"{kind:6}usable          {where}: until {until}, {_shown(left)} from now"


def _shown(left: timedelta) -> str:
    hours, minutes = divmod(int(left.total_seconds()) // 60, 60)
    return f"{hours} h {minutes:02d} min"


def _ends_within(credential: Credential, seconds: float, now: datetime) -> bool:
    left = credential.left(now)
    return left is not None and left.total_seconds() <= seconds


class Keyring:
    """Seals credentials for runs, each with a new key; a set of credentials keeps its name as long as it stays the same."""

    def __init__(self) -> None:
        self._last: tuple[bytes, str] = (b"", "")

    def seal(self, found: Sequence[Credential]) -> tuple[Sealed, str]:
        """Return the credentials, sealed, and the key (text) of this run."""
        from cryptography.fernet import Fernet

        contents = pack(_merged(item.files for item in found), _merged(item.environment for item in found))
        key = Fernet.generate_key()
        if contents != self._last[0]:
            self._last = (contents, secrets.token_hex(8))
        return Sealed(Fernet(key).encrypt(contents), self._last[1]), key.decode()


def _merged(parts: Iterator[Mapping[str, Any]] | Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
