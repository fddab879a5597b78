"""URLs with secrets in them are known by names: the same for the same object, different ones for different objects."""

from __future__ import annotations

import pytest

from rdf_lithops.files.secret_urls import cleaned, is_signed, name_of

SECRET = "SECRETsecret0123456789"
AWS = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F2&X-Amz-Date=2&X-Amz-Expires=9&X-Amz-SignedHeaders=host"
AWS += f"&X-Amz-Signature={SECRET}"
AZURE = f"sv=2024-11-04&st=2026-01-01&se=2026-02-01&sr=b&sp=r&sig={SECRET}%3D"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"https://b.s3.amazonaws.com/a.root?{AWS}", "https://b.s3.amazonaws.com/a.root"),
        (f"https://b.s3.amazonaws.com/a.root?versionId=7&{AWS}", "https://b.s3.amazonaws.com/a.root;versionId=7"),
        (f"http://h/a.root?AWSAccessKeyId=AK&Signature={SECRET}&Expires=1", "http://h/a.root"),
        (f"https://h/a.root?X-Goog-Credential=c&X-Goog-Signature={SECRET}", "https://h/a.root"),
        (f"https://h/a.root?Policy=p&Signature={SECRET}&Key-Pair-Id=K", "https://h/a.root"),
        (f"https://x.blob.invalid/c/a.root?{AZURE}", "https://x.blob.invalid/c/a.root"),
        (f"https://x.blob.invalid/c/a.root?{AZURE}&snapshot=1", "https://x.blob.invalid/c/a.root;snapshot=1"),
        (f"https://dcache/a.root?authz={SECRET}", "https://dcache/a.root"),
        (f"root://eos//eos/a.root?authz=Bearer%20{SECRET}", "root://eos//eos/a.root"),
        (f"root://eos//eos/a.root?xrd.wantprot=unix&authz={SECRET}", "root://eos//eos/a.root;xrd.wantprot=unix"),
        (f"roots://h//a.root?xrdcl.requuid=1&xrd.authz={SECRET}#tree", "roots://h//a.root;xrdcl.requuid=1#tree"),
    ],
)
def test_what_signs_is_left_out(url: str, name: str) -> None:
    """A signature and what belongs to it are no part of the name; what says which object is meant stays."""
    assert (name, True) == (name_of(url), is_signed(url))
    assert name == name_of(name)


@pytest.mark.parametrize(
    "url",
    [
        f"https://h/dl?file=a.root&access_token={SECRET}",
        f"https://h/dl?file=a.root&macaroon={SECRET}",
        f"https://h/dl?file=a.root&apikey={SECRET}",
        f"https://h/dl?file=a.root&x=eyJhbGciOiJSUzI1NiJ9.{SECRET}",
        f"https://h/dl?file=a.root&x=MDAxY2xvY2F0aW9uIE9wdGlvbmFs{SECRET}",
        f"https://user:{SECRET}@h/a.root",
        f"https://{SECRET}@h/a.root",
        f"root://user:{SECRET}@h//a.root",
    ],
)
def test_other_secrets_are_marked(url: str) -> None:
    """A secret that may say which object is meant has a mark in the name: the same secret the same, another one another."""
    assert SECRET not in name_of(url)
    assert "sealed-" in name_of(url)
    assert name_of(url) == name_of(url) == name_of(name_of(url))
    assert name_of(url) != name_of(url.replace(SECRET, "ANOTHERsecret0123456789"))


@pytest.mark.parametrize(
    "url",
    [
        "/data/a.root",
        "s3://bucket/a?signature=b.root",
        "https://h/a.root",
        "root://user@h//a.root",
        "root://h//main_?.root",
        "root://h//main_?.ro??",
        "file:///a.root?sig=x",
        "a.root?#tree",
    ],
)
def test_without_a_secret_a_url_is_its_name(url: str) -> None:
    """Names of users, objects of S3, patterns and paths stay what they are."""
    assert (url, False) == (name_of(url), is_signed(url))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a.root?download=1", "https://h/a.root;download=1"),
        ("https://h/files?id=17&expires=never", "https://h/files;id=17&expires=never"),
        ("root://h//main_?.root?xrd.wantprot=unix", "root://h//main_?.root;xrd.wantprot=unix"),
        ("https://h/a.root?", "https://h/a.root"),
    ],
)
def test_other_queries_stay_to_be_seen(url: str, name: str) -> None:
    """A query that says which object is meant and is no secret is part of the name, which ROOT can handle."""
    assert name == name_of(url) == name_of(name)


def test_texts_are_cleaned() -> None:
    """URLs in what others have written become names."""
    text = f"cannot open 'https://h/a.root?{AWS}' (root://h//b.root?authz={SECRET}): no"
    assert "cannot open 'https://h/a.root' (root://h//b.root): no" == cleaned(text)
