"""URLs that hold a secret (a signature, a token, a password), and the names by which all but their server know them. Pure.

A name has no query: ROOT's samples lose files that have one. It tells objects apart as its URL does: what only signs is left
out of it, what says which object is meant follows a semicolon, and in the place of another secret there is a mark, which two
different ones do not share.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import unquote

__all__ = ["cleaned", "is_signed", "name_of", "parted"]

# parameters that make a query a signed one, and those that come with them: none says which object is meant
_SIGNS = re.compile(r"(.*[-_.])?signature|sig|(.*\.)?authz")
_SIGNING = re.compile(
    r"(.*[-_.])?signature|sig|(.*\.)?authz"
    r"|x-(amz|goog)-(algorithm|credential|date|expires|security-token|signedheaders|content-sha256)"
    r"|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id"  # S3 version 2, Google, CloudFront
    r"|s[vsrpteki]|srt|spr|sip|sks|skv|skt|ske|skoid|sktid|sduoid|sd[du]|saoid|suoid|scid|ses|epk|erk|spk|srk|tn"  # Azure
)
_SECRET = re.compile(
    r".*(token|macaroon|secret|passw|passphrase|credential|bearer|api_?key|access_?key|authoriz|ticket|cap\.)"
)
_SECRET_WORDS = ("auth", "code", "cred", "jwt", "key", "pwd", "session", "sid")
_SECRET_VALUE = re.compile(r"bearer[ +%]|eyJ[\w-]{8}|MDA[\w-]{20}")  # a header's text, a JSON Web Token, a macaroon
_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://[^\s'"<>\\]+?(?=[)\],;:.]*(?:[\s'"<>\\]|$))""")
_MARKS = secrets.token_bytes(16)  # of this process: nothing can be found out from a mark


def is_signed(url: str) -> bool:
    """Whether ``url`` has a query or a password, which may be a secret."""
    return name_of(url) != url


def name_of(url: str) -> str:  # decision 116
    """Return ``url`` without its secrets; a path, and an object of S3, is its own name."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() in ("s3", "file"):
        return url
    place, query, fragment = parted(url)
    authority, slash, path = place.partition("://")[2].partition("/")
    left = _without_signature(query.split("&")) if query else []
    named = f"{scheme}://{_without_password(scheme, authority)}{slash}{path}"
    return named + (";" + "&".join(left) if left else "") + fragment


def parted(url: str) -> tuple[str, str, str]:
    """Return a URL without its query, that query, and its fragment. Behind XRootD a ``?`` may be part of a pattern."""
    rest, hash_sign, fragment = url.partition("#")
    query = r".*" if url.lower().startswith("http") else r"[\w.-]+=.*"
    found = re.fullmatch(rf"(.*?)(?:\?({query}))?", rest, re.DOTALL)
    assert found is not None, "it matches anything"
    return found[1], found[2] or "", hash_sign + fragment


def cleaned(text: str) -> str:
    """Return ``text`` with the URLs in it replaced by their names."""
    return _URL.sub(lambda found: name_of(found[0]), text)


def _without_password(scheme: str, authority: str) -> str:
    """Return ``authority`` without a password, and without a user's name that comes with one, or that logs on to XRootD.

    A web server may take a user's name for a token.
    """
    user, at, host = authority.rpartition("@")
    name, colon, password = user.partition(":")
    if not at or not (colon or scheme.lower().startswith("http")):
        return authority
    return f"{name}:{_mark(password)}@{host}" if colon else f"{_mark(user)}@{host}"


def _without_signature(parameters: list[str]) -> list[str]:
    names = [unquote(parameter.partition("=")[0]).lower() for parameter in parameters]
    is_signed_one = any(map(_SIGNS.fullmatch, names))
    left = []
    for name, parameter in zip(names, parameters, strict=True):
        if is_signed_one and _SIGNING.fullmatch(name):
            continue
        as_given, equals, value = parameter.partition("=")
        is_secret = name in _SECRET_WORDS or _SECRET.match(name) or _SECRET_VALUE.match(unquote(value))
        left.append(f"{as_given}={_mark(value)}" if equals and is_secret else parameter)
    return left


def _mark(secret: str) -> str:
    """Return what stands for a secret in a name; a mark stands for itself."""
    if re.fullmatch(r"sealed-[0-9a-f]{10}", secret):
        return secret
    return "sealed-" + hmac.new(_MARKS, secret.encode(), hashlib.sha256).hexdigest()[:10]
