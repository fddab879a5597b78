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

from .errors import CredentialsError
from .worker.credentials import Sealed, pack, token_places

__all__ = ["KINDS", "Credential", "Keyring", "describe", "find", "for_run", "is_usable", "kinds_for", "of_signed_urls"]

logger = logging.getLogger(__name__)

SERVICES = {  # scheme of a URL: the kinds that its servers may ask for
    "root": ("krb5", "x509", "token", "sss"),
    "roots": ("krb5", "x509", "token", "sss"),
    "xroot": ("krb5", "x509", "token", "sss"),
    "xroots": ("krb5", "x509", "token", "sss"),
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

    ``source`` is the file or variable, ``holder`` whose it is as far as it says, ``expires`` in UTC (None: it names no
    end). ``trouble`` says why it cannot be used, and is empty where it can. ``files`` and ``environment`` are what a worker
    gets: secrets are in files alone.
    """

    kind: str
    source: str
    holder: str = ""
    expires: datetime | None = None
    trouble: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def left(self, now: datetime) -> timedelta | None:
        """How long it is still good; None where it names no end."""
        return None if self.expires is None else self.expires - now


# -- finding ----------------------------------------------------------------------------------------------------------


def find(kinds: Iterable[str] | None = None) -> list[Credential]:
    """The credentials of this process's user, at most one of each of ``kinds`` (None: all); unusable ones say why."""
    found = (_FINDERS[kind]() for kind in (KINDS if kinds is None else kinds))
    return [credential for credential in found if credential is not None]


def _kerberos() -> Credential | None:
    """KRB5CCNAME, or the default cache; only caches that are files can be copied."""
    name = os.environ.get("KRB5CCNAME") or f"FILE:/tmp/krb5cc_{os.getuid()}"
    kind, _, path = name.rpartition(":")
    if kind not in ("", "FILE"):
        default = f"FILE:/tmp/krb5cc_{os.getuid()}"
        why = f"a cache of type {kind} cannot be copied; run: export KRB5CCNAME={default}; kinit"
        return Credential("krb5", name, trouble=why)
    data, trouble = _read(path)
    if data is None:
        return Credential("krb5", path, trouble=trouble) if trouble else None
    files, environment = {"krb5cc": data}, {"KRB5CCNAME": "FILE:{folder}/krb5cc"}
    settings, _ = _read(os.environ.get("KRB5_CONFIG") or "/etc/krb5.conf")
    if settings is not None:
        files["krb5.conf"], environment["KRB5_CONFIG"] = settings, "{folder}/krb5.conf"
    try:
        holder, expires = _read_ticket(data)
    except ValueError:
        return Credential("krb5", path, trouble="this is not a Kerberos cache of format 4")
    trouble = "" if expires is not None else "there is no ticket-granting ticket in it"
    return Credential("krb5", path, holder, expires, trouble, files, environment)


def _proxy() -> Credential | None:
    path = os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}"
    data, trouble = _read(path)
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
    """WLCG's order: BEARER_TOKEN, BEARER_TOKEN_FILE, the user's runtime folder, /tmp."""
    value = os.environ.get("BEARER_TOKEN")
    if value:
        return _read_token("BEARER_TOKEN", value.encode())
    for path in token_places():
        data, trouble = _read(path)
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
    data, trouble = _read(path)
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
    """The chain of AWS's own libraries (variables, profiles, roles) where botocore is installed, else the variables."""
    keys, source, expires, environment = _aws_chain()
    if keys is None:
        return None
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
    """The keys, where they were found, when they end, and the endpoint and region that the user's profile names."""
    try:
        import botocore.exceptions
        import botocore.session
    except ModuleNotFoundError:
        given: Any = [os.environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
        return _aws_keys(*given), "AWS_ACCESS_KEY_ID", None, {}
    session = botocore.session.Session()
    try:
        credentials, settings = session.get_credentials(), session.get_scoped_config()
    except botocore.exceptions.BotoCoreError as error:
        logger.warning("no S3 keys: %s", error)
        return None, "", None, {}
    if credentials is None:
        return None, "", None, {}
    frozen = credentials.get_frozen_credentials()
    expires = getattr(credentials, "_expiry_time", None)  # of those that a role gave
    named = {"AWS_ENDPOINT_URL": settings.get("endpoint_url"), "AWS_DEFAULT_REGION": session.get_config_variable("region")}
    environment = {name: str(value) for name, value in named.items() if value}
    return _aws_keys(frozen.access_key, frozen.secret_key, frozen.token), str(credentials.method), expires, environment


def _aws_keys(key: str | None, secret: str | None, token: str | None) -> dict[str, str] | None:
    if not key or not secret:
        return None
    session = {"aws_session_token": token} if token else {}
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, **session}


_FINDERS: dict[str, Callable[[], Credential | None]] = {
    "krb5": _kerberos,
    "x509": _proxy,
    "token": _token,
    "sss": _shared_secret,
    "s3": _s3_keys,
}
KINDS = tuple(_FINDERS)


def _read(path: str) -> tuple[bytes | None, str]:
    """The file's contents, or why it cannot be used; neither where there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read(), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}"


def _read_ticket(cache: bytes) -> tuple[str, datetime | None]:
    """Principal and end of the ticket-granting ticket of a Kerberos cache (MIT's file format, version 4)."""
    stream = io.BytesIO(cache)

    def number(size: int) -> int:
        data = stream.read(size)
        if len(data) < size:
            raise ValueError("cut short")
        return int.from_bytes(data, "big")

    def principal() -> tuple[str, list[str]]:
        stream.seek(4, os.SEEK_CUR)  # its type
        count = number(4)
        realm, *parts = [stream.read(number(4)).decode() for _ in range(count + 1)]
        return realm, parts

    if number(2) != 0x0504:
        raise ValueError("another format")
    stream.seek(number(2), os.SEEK_CUR)
    realm, parts = principal()
    holder, expires = f"{'/'.join(parts)}@{realm}", None
    while stream.tell() < len(cache):
        principal()
        service_realm, service = principal()
        stream.seek(2, os.SEEK_CUR)
        stream.seek(number(4), os.SEEK_CUR)  # the session key
        _, _, end_s, _ = (number(4) for _ in range(4))
        stream.seek(5, os.SEEK_CUR)
        for _ in range(2):  # addresses, authorisation data
            for _ in range(number(4)):
                stream.seek(2, os.SEEK_CUR)
                stream.seek(number(4), os.SEEK_CUR)
        for _ in range(2):  # tickets
            stream.seek(number(4), os.SEEK_CUR)
        if service[:1] == ["krbtgt"] and not service_realm.startswith("X-CACHECONF"):
            expires = datetime.fromtimestamp(end_s, timezone.utc)
    return holder, expires


def of_signed_urls(signed: Mapping[str, str]) -> list[Credential]:
    """Signed URLs, by the names that stand for them, as what they are: who has one may read."""
    if not signed:
        return []
    environment = {"RDF_LITHOPS_SIGNED": "{folder}/signed"}
    return [
        Credential("signed", "the run's URLs", files={"signed": json.dumps(dict(signed)).encode()}, environment=environment)
    ]


# -- for a run --------------------------------------------------------------------------------------------------------


def kinds_for(urls: Iterable[str]) -> tuple[str, ...]:
    """The kinds of credentials that the servers of ``urls`` may ask for: none for local paths and plain http."""
    wanted = {kind for url in urls for kind in SERVICES.get(urlsplit(url).scheme, ())}
    return tuple(kind for kind in KINDS if kind in wanted)


def for_run(kinds: Sequence[str], limit_s: float | None, now: datetime | None = None) -> list[Credential]:
    """The usable credentials of ``kinds`` for a run of at most ``limit_s`` (None: not limited by the user).

    What has expired is left out; CredentialsError when that leaves none, and when one would end before a limit that the
    user has set. Without a limit, one that ends within the hour is warned about.
    """
    now = now or datetime.now(timezone.utc)
    found = find(kinds)
    usable = [item for item in found if is_usable(item, now)]
    if found and not usable:
        listed = "; ".join(f"{item.kind} ({item.source}): {item.trouble or f'expired at {item.expires}'}" for item in found)
        raise CredentialsError("no credential for this run's data can be used", listed, f"renew it: {RENEW[found[0].kind]}")
    for item in usable:
        if limit_s is not None and _ends_within(item, limit_s, now):
            what = f"the {item.kind} credential would end before the run's deadline of {limit_s} s"
            raise CredentialsError(what, f"{item.source} ends at {item.expires}", f"renew it: {RENEW[item.kind]}")
        if limit_s is None and _ends_within(item, 3600, now):
            logger.warning(
                "the %s credential in %s ends at %s; renew it for a long run", item.kind, item.source, item.expires
            )
    return usable


def is_usable(credential: Credential, now: datetime) -> bool:
    """Whether it could be given to workers, and has not expired."""
    return not credential.trouble and not _ends_within(credential, 0, now)


def describe(kind: str, credential: Credential | None, now: datetime) -> str:
    """A line or two for people: what there is of ``kind``, whose, until when, and what to do where it is of no use."""
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
    """Seals credentials for runs, each with a new key, and names their sets: as long as they stay the same, by one name."""

    def __init__(self) -> None:
        self._last: tuple[bytes, str] = (b"", "")

    def seal(self, found: Sequence[Credential]) -> tuple[Sealed, str] | None:
        """The credentials, sealed, and the key of this run; None where there are none."""
        if not found:
            return None
        from cryptography.fernet import Fernet

        contents = pack(_merged(item.files for item in found), _merged(item.environment for item in found))
        key = Fernet.generate_key()
        if contents != self._last[0]:
            self._last = (contents, secrets.token_hex(8))
        return Sealed(Fernet(key).encrypt(contents), self._last[1]), key.decode()


def _merged(parts: Iterator[Mapping[str, Any]] | Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
