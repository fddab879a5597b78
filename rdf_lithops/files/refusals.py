"""Why remote data cannot be read, in plain words that hold no secret."""

from __future__ import annotations

import datetime
import re
import time
from urllib.parse import parse_qs, urlsplit

__all__ = ["FINAL", "AccessFailure", "changed", "expired_signature", "explained", "shown", "truncated"]

FINAL = (  # kinds of failure that another attempt would only repeat
    "certificate",
    "changed",
    "denied",
    "elsewhere",
    "expired",
    "malformed",
    "missing",
    "no bucket",
    "unauthenticated",
    "unknown host",
)


class AccessFailure(Exception):
    """Remote data that cannot be read.

    ``kind`` is one word, ``url`` comes without its query, ``why`` is a sentence, ``next_command`` what the user may do.
    """

    def __init__(self, kind: str, url: str, why: str, next_command: str) -> None:
        super().__init__(kind, url, why, next_command)
        self.kind, self.url, self.why, self.next_command = kind, url, why, next_command

    @property
    def fields(self) -> dict[str, str]:
        """Its fields as a dictionary, to travel."""
        return dict(zip(("kind", "url", "why", "next_command"), self.args, strict=True))

    def __str__(self) -> str:
        return f"{self.url}: {self.why}"


def shown(url: str) -> str:
    """Return ``url`` as it may appear in a message: without a query (which may be a signature) and without user names."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url


_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_EXPIRED = ("ExpiredToken", "RequestExpired", "TokenRefreshRequired")
_BY_TEXT: tuple[tuple[str, str, str, str], ...] = (  # found in the transfer library's text: kind, why, next command
    ("InvalidCertificate", "certificate", "its certificate is not signed by an authority that is trusted here",
     "set SSL_CERT_FILE (or AWS_CA_BUNDLE) to the authority's certificate"),
    ("dns error", "unknown host", "there is no host of that name", "check the name, and AWS_ENDPOINT_URL for S3"),
    ("Connection refused", "unreachable", "nobody listens there", "check the port, and AWS_ENDPOINT_URL for S3"),
    ("AccessFailure", "unauthenticated", "no S3 credentials were found here (variables, profile, role)",
     "rdf-lithops auth status"),
    ("timed out", "unreachable", "it did not answer in time", "try again"),
    ("decoding response body", "truncated", "the transfer broke off", "try again"),
)  # fmt: skip


def explained(error: BaseException, url: str) -> AccessFailure:
    """Return the transfer library's ``error`` as an AccessFailure. Nothing of its text is kept: it may hold a signed URL."""
    text = f"{error!r} {error.__cause__!r}"
    code = next(iter(_CODE.findall(text)), "")
    status = next(iter(_STATUS.findall(text)), "")
    name = shown(url)
    if expired_signature(url) or code in _EXPIRED or "has expired" in text:
        return AccessFailure("expired", name, "its signature or credentials have expired", "get new ones and try again")
    if type(error).__name__ == "PreconditionError" or status == "412":
        return changed(url)
    if code == "NoSuchBucket":
        return AccessFailure(
            "no bucket", name, "there is no such bucket", f"aws s3 ls   # and look for {urlsplit(url).netloc}"
        )
    if isinstance(error, FileNotFoundError) or status == "404":
        parent = name.rpartition("/")[0]
        return AccessFailure("missing", name, "there is no such object", f"aws s3 ls {parent}/   # or list it in a browser")
    if status in ("401", "403"):
        what = f" ({code})" if code else ""
        return AccessFailure("denied", name, f"access is denied{what}", f"rdf-lithops auth status {name}")
    for found, kind, why, next_command in _BY_TEXT:
        if found in text:
            return AccessFailure(kind, name, why, next_command)
    if status in ("301", "307"):
        return AccessFailure("elsewhere", name, "its bucket is in another region", "set AWS_REGION to the bucket's region")
    why = (
        f"the transfer failed ({type(error).__name__}{', status ' + status if status else ''}{', ' + code if code else ''})"
    )
    return AccessFailure("failed", name, why, "try again")


def changed(url: str) -> AccessFailure:
    """Return the failure of a file that is no longer the one that this run began with."""
    return AccessFailure("changed", shown(url), "it was replaced while it was being read", "run the query again")


def truncated(url: str, why: str) -> AccessFailure:
    """Return the failure of a transfer that brought fewer bytes than were promised."""
    return AccessFailure(
        "truncated", shown(url), f"the transfer was cut short: {why}", "try again; if it recurs, copy it again"
    )


def expired_signature(url: str) -> bool:
    """Return whether ``url`` carries a signature (version 4 or 2) that is out of date by its own words."""
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    try:
        if "x-amz-date" in query:
            signed = datetime.datetime.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
            return time.time() > signed.timestamp() + float(query["x-amz-expires"])
        return "signature" in query and time.time() > float(query["expires"])
    except (KeyError, ValueError):
        return False
