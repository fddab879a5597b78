"""Lithops' own Kubernetes back end, unmodified, against a stand-in of the API whose pods are processes with limits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from k8s_standin import clients
from k8s_standin.cluster import GROUPS, Cluster
from lithops.serverless.backends.k8s.config import MASTER_PORT
from servers import daemons
from waiting import until

import rdf_lithops

pytestmark = pytest.mark.slow  # a pod is a new Python, as in a cluster
QUICK = {"beat_s": 0.5, "silence_s": 8.0, "start_s": 8.0, "backoff_s": 0.0}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, Path]]:
    """A stand-in of its own for each test, and its kubeconfig."""
    folder = tmp_path / "k8s"
    folder.mkdir()
    with clients.standing(folder) as made:
        yield made


@pytest.fixture
def executor(cluster: tuple[Cluster, Path], s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes executors from ``configs/k8s.yaml``, filled in."""
    made: list[lithops.FunctionExecutor] = []
    with s3.bucket() as bucket:
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

        def make(**section: Any) -> lithops.FunctionExecutor:
            made.append(lithops.FunctionExecutor(config=clients.configuration(cluster[1], s3, bucket, **section)))
            return made[-1]

        yield make
        for one in made:
            one.__exit__(None, None, None)


def test_a_histogram_of_k8s(executor: Callable[..., Any], cluster: tuple[Cluster, Path]) -> None:
    """Equal to local RDataFrame bin by bin; no pod of a job is left, nor anything of it on its disk."""

    def booked(frame: Any) -> Any:
        return frame.Define("x", "rdfentry_ * 0.01").Histo1D(("h", "", 50, 0, 10), "x")

    expected = booked(ROOT.RDataFrame(1000)).GetValue()
    result = booked(ROOT.RDataFrame(1000, executor=executor(), npartitions=3, options={"ranges_per_call": 1}))
    found = result.GetValue()
    assert [expected.GetBinContent(i) for i in range(52)] == [found.GetBinContent(i) for i in range(52)]
    assert 3 == len(rdf_lithops.report(result).maps)
    assert [] == [why for _, phase, why in cluster[0].ended if phase == "Failed" and why not in ("Deleted",)]


def slow_once(mark: Path, what: str = "gSystem->Sleep(300000);") -> str:
    """C++ that does ``what`` at the first entry, the first time."""
    return f'if (rdfentry_ == 0 && gSystem->AccessPathName("{mark}")) {{ std::ofstream("{mark}") << 1; {what} }} return 1;'


@pytest.mark.parametrize("reason", ["Evicted", "NodeLost"])
def test_a_pod_that_is_taken_away(
    reason: str, executor: Callable[..., Any], cluster: tuple[Cluster, Path], tmp_path: Path
) -> None:
    """Evicted, or its node gone: its calls fall silent, and run again; the answer is right."""
    mark = tmp_path / "mark"
    frame = ROOT.RDataFrame(10, executor=executor(), npartitions=2, options={**QUICK, "ranges_per_call": 1})
    total = frame.Define("one", slow_once(mark)).Sum("one")

    def take_away() -> None:
        assert until(mark.exists)
        for pod in cluster[0].pods():
            if "lithops-master" not in pod.name and pod.phase == "Running":
                pod.end(reason)

    thread = threading.Thread(target=take_away)
    thread.start()
    assert 10 == total.GetValue()
    thread.join()
    assert reason in {why for _, _, why in cluster[0].ended}
    assert 1 <= rdf_lithops.report(total).repeated


@pytest.mark.skipif(not os.access(GROUPS, os.W_OK), reason="needs memory groups of the kernel")
def test_a_pod_out_of_memory(executor: Callable[..., Any], tmp_path: Path) -> None:
    """What takes more than the pod's limit is killed there, for its memory, and said so."""
    frame = ROOT.RDataFrame(10, executor=executor(runtime_memory=900), npartitions=1, options={**QUICK, "attempts": 1})
    code = "static std::vector<char> held; held.assign(2000u * 1024 * 1024, 1); return int(held.size());"
    with pytest.raises(rdf_lithops.RunError, match=r"SIGKILL|memory"):
        frame.Define("n", code).Sum("n").GetValue()


def test_a_quota_that_is_exceeded(executor: Callable[..., Any], cluster: tuple[Cluster, Path]) -> None:
    """The API's own words are the error, soon."""
    cluster[0].quota = 1  # the master's pod, or that which tells the image's modules
    fexec = executor()
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options={**QUICK, "attempts": 1})
    with pytest.raises(rdf_lithops.RunError, match="exceeded quota"):
        frame.Sum("rdfentry_").GetValue()


def submits() -> bool:
    """Whether Lithops is still in a submission."""
    return any(thread.name == "rdf_lithops map_reduce" for thread in threading.enumerate())


def test_an_image_that_is_missing(executor: Callable[..., Any], cluster: tuple[Cluster, Path]) -> None:
    """An image that Lithops knows nothing of is named in the error, long before the job's time is over."""
    cluster[0].missing, cluster[0].hurry = True, 50.0  # 600 s of that job
    name = f"docker.io/nobody/rdf_lithops:{os.urandom(4).hex()}"
    options = {**QUICK, "start_s": 2.0, "attempts": 1}
    frame = ROOT.RDataFrame(10, executor=executor(runtime=name), npartitions=2, options=options)
    with pytest.raises(rdf_lithops.RunError, match=f"cannot get the image {name}[\\s\\S]*ImagePullBackOff"):
        frame.Sum("rdfentry_").GetValue()
    assert until(lambda: not submits())


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        pytest.param({"deadline_s": 6.0}, r"submitted within 6 s[\s\S]*deadline_s", id="deadline"),
        pytest.param({"start_s": 2.0}, r"cannot get the image rdf_lithops[\s\S]*ImagePullBackOff", id="start"),
    ],
)
def test_an_image_that_was_there(
    limit: dict[str, float], said: str, executor: Callable[..., Any], cluster: tuple[Cluster, Path]
) -> None:
    """A run whose image has gone does not wait without end, and leaves nothing that runs once the image is there again."""
    fexec = executor()

    def total(**options: Any) -> float:
        frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options={**QUICK, **options})
        return float(frame.Sum("rdfentry_").GetValue())

    assert 45 == total()
    for name in list(cluster[0].jobs):
        cluster[0].delete(name)
    cluster[0].missing = True
    with pytest.raises(rdf_lithops.RunError, match=said):
        total(attempts=1, **limit)
    with pytest.raises(rdf_lithops.RunError, match="an earlier submission of this executor"):
        total()
    cluster[0].missing = False
    assert until(lambda: not submits())
    assert ["lithops-master"] == [name.rpartition("-")[0] for name in cluster[0].jobs]
    assert 45 == total()


@pytest.mark.parametrize("when", ["between queries", "in a query"])
def test_a_master_whose_time_is_over(
    when: str, executor: Callable[..., Any], cluster: tuple[Cluster, Path], tmp_path: Path
) -> None:
    """Lithops' master pod ends after ``master_timeout``: what it has not handed out runs again, with another one."""
    mark = tmp_path / "mark"
    options = {**QUICK, "ranges_per_call": 1}
    frame = ROOT.RDataFrame(10, executor=executor(max_workers=1), npartitions=2, options=options)

    def end_the_master() -> None:
        assert until(mark.exists)
        next(job for name, job in cluster[0].jobs.items() if "master" in name).began_s -= 10**6
        assert until(lambda: not any("master" in pod.name for pod in cluster[0].pods()))

    thread = threading.Thread(target=end_the_master)
    thread.start()
    if when == "between queries":
        assert 10 == frame.Define("one", "1").Sum("one").GetValue()
        mark.write_text("1")
        thread.join()
    assert 10 == frame.Define("one", slow_once(mark, "gSystem->Sleep(3000);")).Sum("one").GetValue()
    thread.join()
    assert "DeadlineExceeded" in {why for _, _, why in cluster[0].ended}


def test_a_range_that_the_master_hands_out_too_late(
    executor: Callable[..., Any], cluster: tuple[Cluster, Path], tmp_path: Path
) -> None:
    """A call that Lithops' master has given to a pod that no longer listens runs again after ``start_s``."""
    frame = ROOT.RDataFrame(10, executor=executor(max_workers=1), npartitions=2, options={**QUICK, "ranges_per_call": 1})
    total = frame.Define("one", "1").Sum("one")

    def delay() -> None:
        assert until(lambda: daemons.listens(MASTER_PORT))
        master = next(pod for pod in cluster[0].pods() if "lithops-master" in pod.name)
        os.killpg(master.process.pid, signal.SIGSTOP)
        assert until(lambda: any("-m" in pod.job for pod in cluster[0].pods() if pod is not master))
        time.sleep(3)  # requests of the pod pile up in the master's socket
        os.killpg(master.process.pid, signal.SIGCONT)

    thread = threading.Thread(target=delay)
    thread.start()
    assert 10 == total.GetValue()
    thread.join()
    assert 1 <= rdf_lithops.report(total).repeated
