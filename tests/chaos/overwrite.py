"""``python -m chaos.overwrite``: the driver is killed at each step of overwriting a Snapshot: folder, S3, XRootD, WebDAV.

A step is whatever the driver does to the place: a request, a copy, a rename, a removal. A program of its own overwrites the
dataset and is killed by SIGKILL right before one of them, or a few milliseconds into it. Then the dataset is read, by its
manifest and by plain RDataFrame: all of the old one or all of the new one; its neighbours have their bytes, and what has the
name of a part is a whole file. The next program meets what the last one left.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ROOT
from servers import daemons, s3, web, xrootd

import rdf_lithops
from rdf_lithops.dataset import manifest, snapshots
from rdf_lithops.files import stores

ENTRIES = 40
PROGRAM_S = 180  # the longest
NEIGHBOURS = ("skim_2016.root", "skim_1_0.root", "skimmed_0.root", "skim_notes.root", "skim_2016_0.root")
CONFIGURATION = """
lithops: {backend: localhost, storage: localhost, data_cleaner: False, data_limit: False, log_level: ERROR}
localhost: {version: 1}
rdf_lithops: {keep_warm: True, idle_limit_s: 60, progress: False}
"""
PLACES = ("folder", "s3", "xrootd", "webdav")


@dataclass
class Place:
    """Where a dataset is overwritten again and again; ``version`` is that of the last one that was seen there."""

    name: str
    folder: str
    work: Path
    programs: subprocess.Popen[str]
    version: int = 0
    tried: int = 0
    tally: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def url(self) -> str:
        """What the Snapshots are told to write."""
        return f"{self.folder}skim.root"

    def begin(self) -> None:
        """A first version, among neighbours; learns which steps there are."""
        for number, name in enumerate(NEIGHBOURS):
            local = str(self.work / name)
            ROOT.RDataFrame(3).Define("other", str(number)).Snapshot("t", local)
            with contextlib.suppress(stores.StoreFailure):
                stores.store_of(self.folder).prepare(self.folder)
            stores.put(local, self.folder + name, replace=True)
        for _ in range(2):  # the second one overwrites
            assert self.overwrite() == 0, (self.work / "said").read_text()
            self.look()

    def steps(self) -> list[str]:
        """The steps of the last program, in order."""
        return (self.work / "steps").read_text().split("\n")[:-1]

    def overwrite(self, step: int = -1, late_s: float = 0.0) -> int:
        """Overwrite the dataset by the next version, in a program that is killed at that step; its status."""
        self.tried += 1
        assert self.programs.stdin is not None and self.programs.stdout is not None
        self.programs.stdin.write(json.dumps([self.url, self.version + self.tried, step, late_s, str(self.work)]) + "\n")
        self.programs.stdin.flush()
        return int(self.programs.stdout.readline())

    def look(self) -> str:
        """Whether there is the "old" or the "new" dataset. AssertionError for anything else."""
        wanted = {self.version: "old", self.version + self.tried: "new"}
        with tempfile.TemporaryDirectory(dir=self.work) as copies:
            found = events([self._fetched(url, copies) for url in rdf_lithops.parts(self.url)])
            for url in stores.sizes(self.folder, "skim_"):
                if url.endswith(".root"):
                    self._whole(url, copies)
            for name in NEIGHBOURS:
                copy = Path(self._fetched(self.folder + name, copies))
                assert copy.read_bytes() == (self.work / name).read_bytes(), f"{name} was touched"
        version = len(found) - ENTRIES
        assert found == list(range(len(found))), found
        assert version in wanted, f"expected version {list(wanted)}, got {version}"
        self.version, self.tried, seen = version, self.tried * (version == self.version), wanted[version]
        return seen

    def _fetched(self, url: str, folder: str) -> str:
        path = os.path.join(folder, stores.split(url)[1])
        stores.fetch(url, path)
        return path

    def _whole(self, url: str, folder: str) -> None:
        with ROOT.TFile.Open(self._fetched(url, folder)) as file:
            assert not file.IsZombie() and not file.TestBit(ROOT.TFile.kRecovered), f"{url} is not whole"

    def kill(self, step: int, late_s: float = 0.0) -> str:
        """One program that is killed at that step; what is there afterwards."""
        status = self.overwrite(step, late_s)
        assert status in (0, -signal.SIGKILL), (self.work / "said").read_text()
        self.tally["killed"] += status != 0
        seen = self.look()
        self.tally[seen] += 1
        return seen

    def tidy(self) -> None:
        """What `rdf-lithops gc` does for runs whose driver was killed."""
        for run in manifest.look(self.folder, "skim").runs:
            snapshots.tidy(self.folder, "skim", run)

    def end(self) -> None:
        """A program that nobody kills leaves its version, its manifest, the neighbours, and nothing else."""
        assert self.overwrite() == 0, (self.work / "said").read_text()
        assert self.look() == "new"
        names = {stores.split(url)[1] for url in rdf_lithops.parts(self.url)} | {"skim.rdf_lithops.json", *NEIGHBOURS}
        there = {stores.split(url)[1] for url in stores.sizes(self.folder, "skim")}
        assert names == there, names ^ there


def events(paths: list[str]) -> list[int]:
    """Entry numbers of plain files by plain RDataFrame: a version has as many more as its number says, so whatever is not
    all of one version has one of them twice, or not at all."""
    return sorted(ROOT.RDataFrame("t", paths).AsNumpy(["n"])["n"].tolist())


# -- the places -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def place(name: str, work: Path) -> Iterator[Place]:
    """The place of that name, with its server and what a program needs to reach it in the environment."""
    (work / "config.yaml").write_text(CONFIGURATION)
    before = dict(os.environ)
    os.environ["LITHOPS_CONFIG_FILE"] = str(work / "config.yaml")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(_FOLDERS[name](work / "server"))
            command = [sys.executable, "-W", "ignore", "-m", "chaos.overwrite", "--programs"]
            own = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))  # for what killed ones leave
            environment = {**os.environ, "TMPDIR": own}
            programs = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            made = Place(name, folder, work, stack.enter_context(programs))
            stack.callback(programs.kill)
            made.begin()
            yield made
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def _folder(work: Path) -> Iterator[str]:
    work.mkdir()
    yield f"{work}/"


@contextlib.contextmanager
def _s3(work: Path) -> Iterator[str]:
    with s3.running(work) as server, server.bucket() as bucket:
        os.environ.update(server.environment)
        yield f"s3://{bucket}/out/"


@contextlib.contextmanager
def _xrootd(work: Path) -> Iterator[str]:
    with xrootd.running(work) as server:
        yield f"{server.url}/out/"


@contextlib.contextmanager
def _webdav(work: Path) -> Iterator[str]:
    with web.running(work) as server:
        os.environ.update({"SSL_CERT_FILE": str(server.authority.certificate), "BEARER_TOKEN": server.token})
        (server.root / "protected").mkdir(exist_ok=True)
        yield f"{server.https}/protected/out/"


_FOLDERS = {"folder": _folder, "s3": _s3, "xrootd": _xrootd, "webdav": _webdav}


# -- the program that is killed ---------------------------------------------------------------------------------------


def programs() -> None:
    """Start the programs that standard input asks for, one after the other, and say how each ended. They are forks of this
    process, which has imported what takes long, and itself does nothing."""
    import lithops  # noqa: F401

    for line in sys.stdin:
        given = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.path.join(given[-1], "said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            os.dup2(2, 1)
            _run_program(given)
        with contextlib.suppress(ProcessLookupError):
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)


def _run_program(given: list[Any]) -> None:
    signal.alarm(PROGRAM_S)
    status = 1
    try:
        child(*given)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def child(url: str, version: int, step: int, late_s: float, work: str) -> None:
    """Overwrite the dataset; be killed when the step of that number comes."""
    import threading

    import lithops

    folder = stores.split(url)[0]
    number = 0
    steps_path = os.path.join(work, "steps")
    open(steps_path, "w").close()

    def mark(what: str) -> None:
        nonlocal number
        with open(steps_path, "a") as steps:
            steps.write(f"{what}\n")
        if number == step and late_s:
            threading.Timer(late_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        number += 1

    for owner, name, means in _actions(folder):
        _marked(owner, name, means, mark)
    executor = lithops.FunctionExecutor(config_file=os.environ["LITHOPS_CONFIG_FILE"], log_level="ERROR")
    options = {"overwrite": True}
    frame = ROOT.RDataFrame(ENTRIES + version, executor=executor, npartitions=2 + version % 3, options=options)
    frame.Define("n", "int(rdfentry_)").Snapshot("t", url, ["n"])
    mark("end")


Means = Callable[..., str]


def _actions(folder: str) -> Iterator[tuple[object, str, Means]]:
    """What the driver does to the place: owner and name of each function, and what a call of it means, if anything."""
    import shutil

    from rdf_lithops.files import webdav

    def inside(*given: object, **_: object) -> str:
        return " ".join(str(name).removeprefix(folder) for name in given if str(name).startswith(folder))

    if "://" not in folder:
        for owner, name in (
            (os, "replace"),
            (os, "rename"),
            (os, "link"),
            (os, "unlink"),
            (os, "scandir"),
            (shutil, "copyfile"),
        ):
            yield owner, name, inside
    elif folder.startswith("s3:"):
        import botocore.client

        yield botocore.client.BaseClient, "_make_api_call", lambda client, what, *_: what
    elif folder.startswith("root:"):
        for name in ("_copied", "_moved", "_listed", "remove", "prepare"):
            yield stores._XRootD, name, lambda *_, **__: "asks the server"
    else:
        yield webdav, "_asked", lambda method, *_, **__: method


def _marked(owner: object, name: str, means: Means, mark: Callable[[str], None]) -> None:
    action = getattr(owner, name)

    def marked(*given: object, **more: object) -> object:
        if what := means(*given, **more):
            mark(f"{name} {what}")
        return action(*given, **more)

    setattr(owner, name, marked)


# -- all of it --------------------------------------------------------------------------------------------------------


def kill_at_each_step(made: Place, kills: int, dice: random.Random) -> None:
    """Kill ``kills`` programs: one right before each step, as far as they go, then within steps. Some have fewer steps than
    the first one, and end before: others are killed in their stead."""
    count = len(made.steps())
    at_steps = [(step, 0.0) for step in range(count)]
    if kills < count:
        at_steps = [at_steps[number * count // kills] for number in range(kills)]
    for number, (step, late_s) in enumerate(at_steps):
        made.kill(step, late_s)
        if number % 3:  # else the next program has more to do, before it comes to these steps
            made.tidy()
    while made.tally["killed"] < kills:
        made.kill(dice.randrange(count), dice.uniform(0.0002, 0.01))
        made.tidy()


def main() -> int:
    """Print a line per place; status 1 if one had anything but the old dataset or the new."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=25, help="at each place")
    parser.add_argument("--places", nargs="+", default=list(PLACES), choices=PLACES)
    given = parser.parse_args()
    bad = 0
    for name in given.places:
        with tempfile.TemporaryDirectory() as work:
            os.chmod(work, 0o755)  # servers have users of their own
            try:
                with place(name, Path(work)) as made:
                    steps = len(made.steps())
                    kill_at_each_step(made, given.kills, random.Random(given.seed))
                    made.end()
                tally = made.tally
                told = f"{tally['killed']} killed: {tally['old']} times the old dataset, {tally['new']} times the new"
                print(f"{name}: {steps} steps; {told}; never a mixture, never a neighbour touched", flush=True)
            except (AssertionError, rdf_lithops.RdfLithopsError, daemons.ServerMissing) as error:
                bad += 1
                print(f"{name}: {type(error).__name__} {error}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--programs"]:
        programs()
    else:
        sys.exit(main())
