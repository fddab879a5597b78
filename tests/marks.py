"""Marked secrets: what tests hide where users keep theirs, how one may look elsewhere, and a graph that uses one."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import lithops
import ROOT

from rdf_lithops import Options

TOKEN = "MARKED-bearer-token-4f1d9c2e7ab35608"
SSS_KEY = "feedc0de" * 8
S3_SECRET = "MARKED/s3+secret/9b1d4c7e5fa03628"
MARKS = (TOKEN, SSS_KEY, S3_SECRET)
READ_TOKEN = """
    std::string read_token() {
        const char *path = gSystem->Getenv("BEARER_TOKEN_FILE");
        std::ifstream stream(path ? path : "/nonexistent");
        std::string text;
        stream >> text;
        return text;
    }
"""


def shapes(secret: str) -> list[bytes]:
    """How a secret may look in a file: as it is, in hexadecimal, in base64 at each of its three offsets."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *encoded]


def found_in(data: bytes, marks: Iterable[str] = MARKS) -> list[str]:
    """The marked secrets that are in ``data`` in some shape."""
    return [secret for secret in marks if any(shape in data for shape in shapes(secret))]


def token_query(executor: lithops.FunctionExecutor, options: Options, entries: int = 2, sleep_ms: int = 0) -> Any:
    """A booked sum of the lengths of the token that each entry finds."""
    frame = ROOT.RDataFrame(entries, executor=executor, npartitions=min(entries, 2), options=options)
    return frame.Define("n", f"gSystem->Sleep({sleep_ms}); return int(read_token().size());").Sum("n")
