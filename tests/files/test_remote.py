"""Data where it lives: programs over remote files give what they give over local ones, and errors say which file and why."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.config
import datasets
import pytest
import ROOT
from servers.s3 import S3
from test_warm import root_processes

import rdf_lithops
from rdf_lithops import DataAccessError, PlanError, demo
from rdf_lithops.files import access
from rdf_lithops.processes import warm


@dataclass(frozen=True)
class Bucket:
    """A bucket with the generated datasets, and a folder of them below."""

    server: S3
    name: str

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, path: str | Path) -> str:
        with contextlib.closing(self.server.client()) as client:
            client.upload_file(str(path), self.name, key)
        return self.url(key)


@pytest.fixture
def s3_here(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The S3 server, as the one that this program's surroundings point to: keys in a credentials file."""
    credentials = tmp_path / "aws-credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    for name, value in s3.environment.items():
        if "KEY" not in name:
            monkeypatch.setenv(name, value)
    return s3


@pytest.fixture(scope="module")
def bucket(s3: S3, files: datasets.Datasets) -> Iterator[Bucket]:
    """All generated datasets in a bucket: under ``data/``, and one file deeper."""
    with s3.bucket() as name:
        made = Bucket(s3, name)
        for path in [*files.main, *files.friends, *files.rntuple]:
            made.put(f"data/{Path(path).name}", path)
        made.put("data/deep/er/main_a.root", files.main[0])
        yield made


def results(frame: Any) -> dict[str, Any]:
    """A selection with its spectrum, sums and counts."""
    selected = frame.Filter("n > 0", "some").Define("s", "Sum(v)")
    histogram = selected.Histo1D(("x", "", 20, 0.0, 12.0), "x")
    count, total, entries = selected.Count(), selected.Sum("i"), frame.Count()
    return {
        "bins": [histogram.GetBinContent(i) for i in range(22)],
        "selected": count.GetValue(),
        "sum": total.GetValue(),
        "entries": entries.GetValue(),
    }


@pytest.mark.parametrize("pattern", ["main_*.root", "main_?.root", "main_[abc].root", "../data/**/main_*.root"])
def test_patterns_over_s3(pattern: str, s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any) -> None:
    """A pattern of objects means what the same pattern of files means."""
    deep = "**" in pattern
    url = bucket.url("**/main_*.root" if deep else f"data/{pattern}")
    expected = results(ROOT.RDataFrame("events", [*([files.main[0]] if deep else []), *files.main]))
    assert expected == results(ROOT.RDataFrame("events", url, executor=fexec, npartitions=3))


def test_a_list_that_mixes_places(s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any) -> None:
    """One list of local files, an object by name and a pattern of objects is one dataset."""
    names = [files.main[0], bucket.url("data/main_b.root"), bucket.url("data/main_[c].root")]
    assert results(ROOT.RDataFrame("events", files.main)) == results(
        ROOT.RDataFrame("events", names, executor=fexec, npartitions=2)
    )


def test_rntuple_over_s3(s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any) -> None:
    """RNTuples are read from objects as trees are."""
    expected = results(ROOT.RDataFrame("events", files.rntuple))
    url = bucket.url("data/ntuple_*.root")
    assert expected == results(ROOT.RDataFrame("events", url, executor=fexec, npartitions=2))


def test_friends_over_s3(s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any) -> None:
    """A chain of objects with a friend chain of objects, cut elsewhere, is aligned as local ones are."""

    def answer(main: list[str], friends: list[str], **given: Any) -> list[float]:
        chain, friend = ROOT.TChain("events"), ROOT.TChain("friends")
        for name in main:
            chain.Add(name)
        for name in friends:
            friend.Add(name)
        chain.AddFriend(friend)
        frame = ROOT.RDataFrame(chain, **given)
        booked = [frame.Define("d", "fi - i").Max("d"), frame.Filter("n > 1").Sum("fx")]
        return [result.GetValue() for result in booked]

    remote = [[bucket.url(f"data/{Path(name).name}") for name in names] for names in (files.main, files.friends)]
    expected = answer(files.main, files.friends)
    assert expected == pytest.approx(answer(*remote, executor=fexec, npartitions=3), rel=1e-12)


def test_specification_over_s3(s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any, tmp_path: Path) -> None:
    """FromSpec with patterns of objects, metadata and friends equals the same over local files."""

    def answer(path: str, **given: Any) -> list[float]:
        frame = ROOT.RDF.Experimental.FromSpec(path, **given)
        weighted = frame.DefinePerSample("xsec", 'rdfsampleinfo_.GetD("xsec")')
        booked = [weighted.Sum("xsec"), weighted.Filter("fi == i").Count()]
        return [result.GetValue() for result in booked]

    spec = json.loads(Path(files.spec_with_friends).read_text())
    spec["samples"]["signal"]["files"] = [bucket.url("data/main_[ab].root")]
    spec["samples"]["background"]["files"] = [bucket.url("data/main_c.root")]
    spec["friends"]["fr"]["files"] = [bucket.url("data/friend_*.root")]
    path = tmp_path / "remote.json"
    path.write_text(json.dumps(spec))
    assert answer(files.spec_with_friends) == answer(str(path), executor=fexec, npartitions=2)


@pytest.mark.slow
def test_a_second_query_moves_nothing(s3_here: S3, bucket: Bucket, fexec: Any, tmp_path: Path) -> None:
    """What a machine has read is there for the next query, in any slot: only the version is asked for, one byte a file."""
    path = datasets.write_main_file(tmp_path / "own.root", 0, 3000)
    url = bucket.put("cached/own.root", path)
    first = results(ROOT.RDataFrame("events", url, executor=fexec, npartitions=2))
    for slot in root_processes(fexec)[1]:
        slot.kill()
    seen = len(bucket.server.requests("cached/own.root"))
    assert first == results(ROOT.RDataFrame("events", url, executor=fexec, npartitions=2))
    later = bucket.server.requests("cached/own.root")[seen:]
    assert sum(request.body_bytes for request in later if request.status < 300) <= 10, later


def test_a_replaced_object_is_read_anew(s3_here: S3, bucket: Bucket, fexec: Any, tmp_path: Path) -> None:
    """A query after an object was replaced sees the new one, and numbers its entries, whatever is cached."""
    urls = [bucket.put(f"replaced_{name}.root", datasets.write_main_file(tmp_path / "one.root", 0, 100)) for name in "ab"]
    for entries in (100, 150):
        bucket.put("replaced_a.root", datasets.write_main_file(tmp_path / "two.root", 0, entries))
        frame = ROOT.RDataFrame("events", urls, executor=fexec, npartitions=2, options={"survey": True})
        numbers, count = frame.AsNumpy(["rdfentry_"]), frame.Count()
        assert list(range(entries + 100)) == sorted(numbers["rdfentry_"])
        assert entries + 100 == count.GetValue()


def test_an_object_replaced_between_plan_and_run(s3_here: S3, bucket: Bucket, fexec: Any, tmp_path: Path) -> None:
    """A run whose data changed after it was planned is refused, and says which object."""
    for name, sign in (("one", "+"), ("two", "-")):
        column = f"{sign}double(rdfentry_ * 7919 % 100003)"
        ROOT.RDataFrame(100_000).Define("x", column).Snapshot("events", str(tmp_path / f"{name}.root"))
    url = bucket.put("moving.root", tmp_path / "one.root")
    result = ROOT.RDataFrame("events", url, executor=fexec, npartitions=1).Sum("x")
    plan = rdf_lithops.plan(result)
    bucket.put("moving.root", tmp_path / "two.root")
    futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
    with pytest.raises(DataAccessError) as caught:
        plan.deliver(fexec.get_result(futures))
    assert ("changed", url) == (caught.value.kind, caught.value.url)
    assert "run the query again" in str(caught.value)


def test_a_specification_of_patterns_is_refused(s3_here: S3, bucket: Bucket, fexec: Any) -> None:
    """ROOT drops remote patterns from a specification that is built in a program: said before anything is lost."""
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(("signal", "events", bucket.url("data/main_*.root")))
    with pytest.raises(PlanError, match=r"rdf_lithops\.expand"):
        ROOT.RDataFrame(spec, executor=fexec)
    expanded = ROOT.RDF.Experimental.RDatasetSpec()
    names = rdf_lithops.expand([bucket.url("data/main_*.root")])
    expanded.AddSample(("signal", ["events"] * len(names), names))
    assert datasets.ENTRIES == ROOT.RDataFrame(expanded, executor=fexec, npartitions=2).Count().GetValue()


@pytest.mark.parametrize(
    ("name", "kind"), [("data/nothing.root", "missing"), ("data/main_b.root", "missing")], ids=["first", "second"]
)
def test_a_missing_object_is_named(
    name: str, kind: str, s3_here: S3, bucket: Bucket, files: datasets.Datasets, fexec: Any
) -> None:
    """A list with an object that is not there is an error before anything runs, with its URL and a next command."""
    absent = bucket.url("data/nothing.root")
    names = [absent, bucket.url("data/main_a.root")] if "nothing" in name else [bucket.url("data/main_a.root"), absent]
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", names, executor=fexec, npartitions=1).Count().GetValue()
    assert (kind, absent) == (caught.value.kind, caught.value.url)
    assert "next:" in str(caught.value)


def test_a_missing_bucket_is_named(s3_here: S3, fexec: Any) -> None:
    """No such bucket is said to be that."""
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", "s3://not-a-bucket-of-ours/a.root", executor=fexec)
    assert "no bucket" == caught.value.kind


def test_a_pattern_without_matches(s3_here: S3, bucket: Bucket, fexec: Any) -> None:
    """A pattern that matches nothing is an error that repeats it."""
    with pytest.raises(PlanError, match=r"data/none_\*\.root"):
        ROOT.RDataFrame("events", bucket.url("data/none_*.root"), executor=fexec)


def test_wrong_keys_are_denied(
    s3_here: S3, bucket: Bucket, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong keys are an error that says denied, and shows neither key."""
    wrong = tmp_path / "wrong"
    wrong.write_text("[default]\naws_access_key_id = nobody\naws_secret_access_key = marked-secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(wrong))
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", bucket.url("data/main_a.root"), executor=fexec)
    assert "denied" == caught.value.kind
    assert "marked-secret" not in str(caught.value)


def test_nobody_there(s3_here: S3, fexec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not exist is said to be that."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid:1")
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", "s3://bucket/a.root", executor=fexec)
    assert "unknown host" == caught.value.kind


@pytest.mark.slow
def test_keys_are_given_up(s3: S3, bucket: Bucket, tmp_path: Path) -> None:
    """A reader lets go of keys when nobody is granted anything any more, and serves the next grant as the first."""
    url, folder = bucket.url("data/main_a.root"), str(tmp_path)
    with contextlib.closing(access.hold(folder, {})) as control:
        for _ in range(2):
            with access.granted(folder, access.Grant(s3.environment), [url]):
                assert ROOT.RDataFrame("events", url).Count().GetValue() > 0
                assert not access.ask(control, {"op": "facts"})["at_rest"]
            deadline = time.monotonic() + 60
            while not access.ask(control, {"op": "facts"})["at_rest"] and time.monotonic() < deadline:
                time.sleep(0.1)
            assert access.ask(control, {"op": "facts"})["at_rest"]
            with pytest.raises(OSError, match="Failed to open"):
                ROOT.TFile.Open(url)
            assert "reader" == (access.take_failure() or {})["kind"]
    warm.reap(folder, "reader")


# -- the same program everywhere --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Dimuon events in two files."""
    return demo.make_sample(str(tmp_path_factory.mktemp("sample")), files=2, events=20_000)


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, sample: list[str]) -> list[str]:
    """Puts the dimuon events where the parameter says, and lets this program reach them; gives their names there."""

    def on_web(scheme: str) -> list[str]:
        web = request.getfixturevalue("web")
        for path in sample:
            shutil.copy(path, web.root)
        monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
        return [f"{getattr(web, scheme)}/{Path(path).name}" for path in sample]

    def on_xrootd(kind: str) -> list[str]:
        server = request.getfixturevalue("xrootd")(kind)
        for name, value in server.credentials.items():
            monkeypatch.setenv(name, value)
        return [server.put(path) for path in sample]

    def on_s3(kind: str) -> list[str]:
        request.getfixturevalue("s3_here")
        bucket = request.getfixturevalue("bucket")
        urls = [bucket.put(f"dimuon/{Path(path).name}", path) for path in sample]
        if kind == "s3":
            return urls
        with contextlib.closing(bucket.server.client(config=botocore.config.Config(signature_version="s3v4"))) as client:
            wanted = [{"Bucket": bucket.name, "Key": url.partition(f"{bucket.name}/")[2]} for url in urls]
            return [client.generate_presigned_url("get_object", Params=which, ExpiresIn=600) for which in wanted]

    kind = request.param
    if kind == "local":
        return sample
    if kind in ("s3", "presigned"):
        return on_s3(kind)
    return on_web(kind) if kind in ("http", "https") else on_xrootd(kind.removeprefix("xrd"))


OTHER_PLACES = ("local", "http", "https", "presigned", "xrdhttp", "sss", "krb5", "gsi")
PLACES = ["s3", "anonymous", *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHER_PLACES)]  # all: make test-data


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_the_same_program_everywhere(place: list[str], sample: list[str], fexec: Any) -> None:
    """Over S3, nginx, presigned URLs, XRootD and XrdHttp the dimuon spectrum and its cut flow are local RDataFrame's."""
    expected = demo.measure(lambda: ROOT.RDataFrame(demo.TREE, sample))
    assert expected.entries > 0
    assert [] == demo.differences(
        expected, demo.measure(lambda: ROOT.RDataFrame(demo.TREE, place, executor=fexec, npartitions=3))
    )


def test_s3_without_credentials(s3: S3, bucket: Bucket, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any keys the error says that none were found, where it was to read and what to do."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    url = bucket.url("data/main_a.root")
    with pytest.raises(
        DataAccessError, match=r"no S3 credentials were found(.|\n)*next:  rdf-lithops auth status"
    ) as caught:
        ROOT.RDataFrame("events", url, executor=fexec)
    assert ("unauthenticated", url) == (caught.value.kind, caught.value.url)


def test_a_signature_that_has_expired(bucket: Bucket, fexec: Any) -> None:
    """A presigned URL that is out of date is said to be that, and its signature is not repeated."""
    with contextlib.closing(bucket.server.client(config=botocore.config.Config(signature_version="s3v4"))) as client:
        wanted = {"Bucket": bucket.name, "Key": "data/main_a.root"}
        url = client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=1)
    time.sleep(1.5)
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", url, executor=fexec)
    assert "expired" == caught.value.kind
    assert "Signature" not in str(caught.value)
