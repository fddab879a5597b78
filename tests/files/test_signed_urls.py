"""URLs that hold a secret: by whatever road they come, the data is read and nobody but its server gets to see the secret."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import pickle
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import botocore.config
import lithops
import pytest
import ROOT
from datasets import Datasets
from marks import found_in
from servers.s3 import S3
from servers.web import Web
from servers.xrootd import MACAROON, XRootD
from test_credentials import files_with_secrets, in_thread, own_fexec, processes_with_secrets  # noqa: F401
from waiting import until

import rdf_lithops
from rdf_lithops import DataAccessError, OutputError, PlanError, RangeError
from rdf_lithops.dataset import names as dataset
from rdf_lithops.dataset import signed_sources
from rdf_lithops.executor import registry

LIMIT_S = 120.0


@dataclass
class Signed:
    """Files that open to those alone whose URL says so: the URL of each by its name, and what in them is secret."""

    urls: dict[str, str]
    secrets: list[str]
    pattern: str = ""
    bare: list[str] = field(default_factory=list)

    def of(self, paths: list[str]) -> list[str]:
        """The URLs of local files that were put there."""
        return [self.urls[Path(path).name] for path in paths]


SERVERS = ("web", "xrootd", "s3")
QUICK = {("list", "web"), ("TChain with friends", "xrootd"), ("FromSpec", "s3")}  # of which each run of the tests makes sure


@pytest.fixture(params=SERVERS)
def signed(request: pytest.FixtureRequest, files: Datasets, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signed]:
    """All generated files behind nginx (``?sig=``), XRootD (``?authz=``, a macaroon) and S3 (presigned)."""
    paths = [Path(path) for path in (*files.main, *files.friends, *files.rntuple)]
    if request.param == "web":
        web: Web = request.getfixturevalue("web")
        (web.root / "signed").mkdir(exist_ok=True)
        for path in paths:
            shutil.copy(path, web.root / "signed" / path.name)
        yield Signed(
            {path.name: f"{web.http}/signed/{path.name}?sv=1&sig={web.signature}" for path in paths}, [web.signature]
        )
    elif request.param == "xrootd":
        server: XRootD = request.getfixturevalue("xrootd")("macaroons")
        macaroon = server.credentials[MACAROON]
        urls = {path.name: f"{server.put(path)}?authz=Bearer%20{macaroon}" for path in paths}
        yield Signed(urls, [macaroon], f"{server.url}/main_[abc].root?authz={macaroon}")
    else:
        s3: S3 = request.getfixturevalue("s3")
        config = botocore.config.Config(signature_version="s3v4")
        with s3.bucket() as bucket, contextlib.closing(s3.client(config=config)) as client:
            urls = {}
            for path in paths:
                client.upload_file(str(path), bucket, path.name)
                urls[path.name] = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": path.name})
            yield Signed(urls, [parse_qs(urlsplit(url).query)["X-Amz-Signature"][0] for url in urls.values()])


# -- the roads --------------------------------------------------------------------------------------------------------


def listed(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    return ("events", main)


def chained(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    chain = ROOT.TChain("events")
    for name in main:
        chain.Add(name)
    return (chain,)


def with_friends(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    (chain,), friend = chained(main, friends, folder), ROOT.TChain("friends")
    for name in friends:
        friend.Add(name)
    chain.AddFriend(friend, "other")
    chain.kept = friend
    return (chain,)


def specified(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    meta = ROOT.RDF.Experimental.RMetaData()
    meta.Add("weight", 3)
    spec.AddSample(ROOT.RDF.Experimental.RSample("first", ["events"], main[:2], meta))
    meta = ROOT.RDF.Experimental.RMetaData()
    meta.Add("weight", 5)
    spec.AddSample(ROOT.RDF.Experimental.RSample("second", ["events"], main[2:], meta))
    return (spec,)


def specified_with_friends(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    (spec,) = specified(main, friends, folder)
    spec.WithGlobalFriends("friends", friends, "other")
    return (spec,)


def from_json(main: list[str], friends: list[str], folder: Path) -> tuple[Any, ...]:
    samples = {"all": {"trees": ["events"], "files": main, "metadata": {"weight": 3}}}
    others = {"other": {"trees": ["friends"], "files": friends}}
    path = folder / f"spec{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"samples": samples, "friends": others}))
    return (str(path),)


ROADS: dict[str, tuple[Callable[..., tuple[Any, ...]], str]] = {  # how it is given, and what is read
    "list": (listed, "i"),
    "TChain": (chained, "i"),
    "TChain with friends": (with_friends, "i + 3 * fi"),
    "RDatasetSpec": (specified, "i"),
    "RDatasetSpec with friends": (specified_with_friends, "i + 3 * fi"),
    "FromSpec": (from_json, "i + 3 * fi"),
}


def framed(road: str, main: list[str], friends: list[str], folder: Path, **given: Any) -> Any:
    """A data frame of those files, given that way, with what is to be summed as the column "what"."""
    make, what = ROADS[road]
    args = make(main, friends, folder)
    frame = (ROOT.RDF.Experimental.FromSpec if road == "FromSpec" else ROOT.RDataFrame)(*args, **given)
    return frame.Define("what", f"double({what})")


# -- the search -------------------------------------------------------------------------------------------------------


def shapes(secrets: list[str]) -> list[str]:
    """The secrets, and how they look in a query."""
    return [*secrets, *(quote(secret, safe="") for secret in secrets)]


@pytest.fixture
def talkative(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All logs at their most talkative, Lithops' too."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("lithops").setLevel(logging.DEBUG)
    logging.getLogger("lithops").addHandler(caplog.handler)
    yield caplog
    logging.getLogger("lithops").removeHandler(caplog.handler)


def ways() -> Iterator[Any]:
    """Each road, and each kind of server that it may come from."""
    for road, server in itertools.product(ROADS, SERVERS):
        yield pytest.param(road, server, marks=[] if (road, server) in QUICK else pytest.mark.slow)


@pytest.mark.parametrize(("road", "signed"), list(ways()), indirect=["signed"])
def test_secrets_of_urls_are_nowhere(
    road: str,
    signed: Signed,
    files: Datasets,
    own_fexec: lithops.FunctionExecutor,  # noqa: F811
    tmp_path: Path,
    talkative: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """By each road the answer is the local one, and the secret is in no plan, report, log, argument or file but one."""
    secrets, temporary = shapes(signed.secrets), Path(tempfile.gettempdir())
    expected = framed(road, files.main, files.friends, tmp_path).Sum("what").GetValue()
    given = framed(road, signed.of(files.main), signed.of(files.friends), tmp_path, executor=own_fexec, npartitions=2)
    began, go = tmp_path / "began", tmp_path / "go"
    wait = f'FILE *mark = fopen("{began}", "a"); fclose(mark); while (gSystem->AccessPathName("{go}")) gSystem->Sleep(5);'
    query = given.Define("waited", f"if (rdfslot_ == 0 && i == 0) {{ {wait} }} return what;").Sum("waited")
    plan = rdf_lithops.plan(query)
    said = [plan.to_json(), str(plan), repr(plan), repr(pickle.dumps((plan.map_task, plan.iterdata, plan.reduce_task)))]
    del plan
    spared = (Path(registry.session_of(own_fexec).processes.warm_folder, "credentials"), tmp_path.parent)
    thread, outcome = in_thread(query.GetValue)
    try:
        assert until(lambda: began.exists() or outcome), "the run began"
        assert {} == files_with_secrets(temporary, spared, secrets)
        assert {} == processes_with_secrets(secrets)
    finally:
        go.touch()
        thread.join(LIMIT_S)
    assert {"value": expected} == outcome
    assert {} == files_with_secrets(temporary, (tmp_path.parent,), secrets)
    report = rdf_lithops.report(query)
    said += [str(report), repr(report), report.to_json(), report._repr_html_(), talkative.text, *capfd.readouterr()]
    assert [] == found_in("\n".join(said).encode(), secrets)
    assert "Serializing function and data" in talkative.text  # the logs were on


def test_what_failed_keeps_no_secret(
    signed: Signed,
    files: Datasets,
    own_fexec: lithops.FunctionExecutor,  # noqa: F811
    tmp_path: Path,
    talkative: pytest.LogCaptureFixture,
) -> None:
    """A graph that fails: neither the error, its chain and fields, nor what ``keep_failed`` has kept, nor a log hold it."""
    secrets, kept = shapes(signed.secrets), tmp_path / "kept"
    options = {"keep_failed": str(kept)}
    frame = ROOT.RDataFrame("events", signed.of(files.main), executor=own_fexec, npartitions=2, options=options)
    with pytest.raises(RangeError, match="on purpose") as caught:
        frame.Define("bad", 'if (i == 7) throw std::runtime_error("on purpose"); return i;').Sum("bad").GetValue()
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb)) + repr(vars(caught.value))
    assert [] == found_in(shown.encode() + talkative.text.encode(), secrets)
    assert list(kept.rglob("task.pickle"))
    assert {} == files_with_secrets(kept, (), secrets)


def test_a_wrong_secret_is_refused_and_not_shown(
    signed: Signed,
    files: Datasets,
    own_fexec: lithops.FunctionExecutor,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With another signature the server refuses; the error names the file and does not repeat the URL."""
    wrong = [url[:-4] + ("0000" if url[-4:] != "0000" else "1111") for url in signed.of(files.main)]
    tails = [url[-20:] for url in wrong]
    with pytest.raises(DataAccessError, match=r"main_a\.root") as caught:
        ROOT.RDataFrame("events", wrong, executor=own_fexec).Count().GetValue()
    assert "denied" == caught.value.kind
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb)) + repr(vars(caught.value))
    assert [] == [tail for tail in tails if tail in shown + "".join(capfd.readouterr())]


def test_rntuples(signed: Signed, files: Datasets, own_fexec: lithops.FunctionExecutor) -> None:  # noqa: F811
    """RNTuples are read by such URLs as trees are, and what travels holds none of the secrets."""
    expected = ROOT.RDataFrame("events", files.rntuple).Sum("i").GetValue()
    total = ROOT.RDataFrame("events", signed.of(files.rntuple), executor=own_fexec, npartitions=2).Sum("i")
    assert [] == found_in(rdf_lithops.plan(total).to_json().encode(), shapes(signed.secrets))
    assert expected == total.GetValue()


def test_patterns_with_a_token(
    xrootd: Callable[[str], XRootD],
    files: Datasets,
    own_fexec: lithops.FunctionExecutor,  # noqa: F811
) -> None:
    """A token behind a pattern goes with each file that matches; if nothing matches, the error does not have it."""
    server = xrootd("anonymous")
    for path in files.main:
        server.put(path)
    secret = "MARKED-macaroon-of-a-folder-8f21"
    frame = ROOT.RDataFrame("events", f"{server.url}/main_[abc].root?authz={secret}", executor=own_fexec, npartitions=2)
    total = frame.Sum("i")
    assert secret not in rdf_lithops.plan(total).to_json()
    assert ROOT.RDataFrame("events", files.main).Sum("i").GetValue() == total.GetValue()
    with pytest.raises(PlanError, match=r"expected files that match root://.*/nothing_\*\.root, found none") as caught:
        rdf_lithops.expand([f"{server.url}/nothing_*.root?authz={secret}"])
    assert secret not in str(caught.value)


def test_two_objects_are_never_one_name(web: Web, files: Datasets, own_fexec: lithops.FunctionExecutor) -> None:  # noqa: F811
    """Where the query says which file is meant, a secret in it does not make one of two: each is read."""
    (web.root / "signed").mkdir(exist_ok=True)
    for place in (web.root / "signed", web.root):
        shutil.copy(files.main[0], place / "one.root")
    urls = [f"{web.http}/signed/one.root?file={name}&sig={web.signature}" for name in "ab"]
    urls += [f"{web.http}/signed/one.root?id={name}&access_token={name * 20}&sig={web.signature}" for name in "cd"]
    names = [signed_sources.named(url) for url in urls]
    assert 4 == len(set(names))
    assert [] == found_in(" ".join(names).encode(), [web.signature, "c" * 20])
    assert 4 * 120 == ROOT.RDataFrame("events", urls, executor=own_fexec, npartitions=2).Count().GetValue()
    assert (
        120 == ROOT.RDataFrame("events", f"{web.http}/one.root?id=7", executor=own_fexec, npartitions=1).Count().GetValue()
    )


def test_index_of_a_friend_is_still_refused(web: Web, files: Datasets, own_fexec: lithops.FunctionExecutor) -> None:  # noqa: F811
    """What DistRDF does not take, it does not get in another shape because a URL was signed."""
    chain, friend = ROOT.TChain("events"), ROOT.TChain("friends")
    chain.Add(f"{web.http}/signed/main_a.root?sig={web.signature}")
    friend.Add(files.friends[0])
    friend.BuildIndex("fi")
    chain.AddFriend(friend)
    assert chain is signed_sources.named_arguments((chain,))[0]


@pytest.mark.parametrize("target", ["root://host//data/skim.root?authz=SECRET", "root://user:SECRET@host//data/skim.root"])
def test_snapshots_take_no_signed_targets(target: str, own_fexec: lithops.FunctionExecutor) -> None:  # noqa: F811
    """A token in the name of a Snapshot is refused before anything runs, and not repeated."""
    with pytest.raises(OutputError, match="without a query or a user's name") as caught:
        ROOT.RDataFrame(2, executor=own_fexec).Define("x", "1").Snapshot("t", target, ["x"])
    assert "SECRET" not in str(caught.value)


def test_variables_that_travel_hold_no_password() -> None:
    """No variable of the user's environment that has a password in its URL is sent along."""
    given = {"AWS_ENDPOINT_URL": "https://user:SECRET@host", "AWS_REGION": "here"}
    assert {"AWS_REGION": "here"} == dataset.variables(given)
