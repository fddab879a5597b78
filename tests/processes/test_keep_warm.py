"""Programs one after another that leave the ROOT process to each other (``keep_warm``)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from test_warm import cmdline
from waiting import until

from rdf_lithops.executor import leftovers, registry
from rdf_lithops.options import Options

LIMIT_S = 60.0
LOCALHOST = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
PROGRAM = """
import json, os, sys, lithops, ROOT, rdf_lithops
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2)
    if "WRITES" in os.environ:
        frame = frame.Filter('std::ofstream("written") << 1; return true;')
    total = frame.Define("x", f"0.5 * rdfentry_ + {sys.argv[2]}").Filter("x > 100").Sum("x")
    value, calls = total.GetValue(), rdf_lithops.report(total).maps
    compiled_s = sum(call.parts.get("compilation", 0) for call in calls)
    print(json.dumps({"value": value, "compiled_s": compiled_s, "pids": [call.pid for call in calls]}))
"""


@pytest.fixture(autouse=True)
def _nobody_is_left(tmp_path: Path) -> Iterator[None]:
    """What waits for the next program of a test does not wait beyond it."""
    yield
    for process in users_of(tmp_path):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def configuration(folder: Path, **options: Any) -> Path:
    """The file of a localhost configuration with these options."""
    path = folder / "config.json"
    path.write_text(json.dumps({**LOCALHOST, "rdf_lithops": options}))  # which is YAML, too
    return path


def ran(config: Path, offset: int, folder: Path | None = None, **variables: str) -> dict[str, Any]:
    """What a program of its own, started in ``folder``, says of its one run; all temporary files are beside ``config``."""
    environment = {**os.environ, "TMPDIR": str(config.parent), **variables}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(config), str(offset)]
    done = subprocess.run(command, env=environment, cwd=folder, **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def users_of(folder: Path) -> list[psutil.Process]:
    """The processes that have something in ``folder`` on their command lines."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if str(folder) in " ".join(process.info["cmdline"] or [])]


def expected(offset: int) -> float:
    """What PROGRAM computes."""
    frame = ROOT.RDataFrame(1000)
    return float(frame.Define("x", f"0.5 * rdfentry_ + {offset}").Filter("x > 100").Sum("x").GetValue())


@pytest.mark.slow
def test_the_next_program_finds_its_graph_compiled(tmp_path: Path) -> None:
    """The second program runs in the slots of the first; another graph or environment has its own, and idle ones end."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=6.0)
    first, second = ran(config, 7), ran(config, 7)
    assert set(second["pids"]) & set(first["pids"])  # where one slot had both calls of the first, the second may get another
    assert first["compiled_s"] > 0.0
    assert second["compiled_s"] == 0.0
    changed, elsewhere = ran(config, 8), ran(config, 7, RDF_TEST_VARIABLE="1")
    assert not {*elsewhere["pids"]} & {*first["pids"], *changed["pids"]}
    assert [first["value"], second["value"], changed["value"]] == [expected(7), expected(7), expected(8)]
    until = time.monotonic() + LIMIT_S
    while users_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert not users_of(tmp_path)


def test_options_in_the_configuration_are_defaults(tmp_path: Path) -> None:
    """What a data frame is given goes before the section in Lithops' configuration, and that before our own defaults."""
    with lithops.FunctionExecutor(config_file=str(configuration(tmp_path, seed=7, attempts=5)), log_level=None) as fexec:
        assert registry.options_of(fexec, {"attempts": 2}) == Options(seed=7, attempts=2)
        assert registry.options_of(fexec, Options(attempts=2)) == Options(attempts=2)
        frame = ROOT.RDataFrame(100, executor=fexec, npartitions=2)
        assert frame._headnode.backend.options == Options(seed=7, attempts=5)


@pytest.mark.parametrize("section", [{"sed": 7}, ["seed"], 7])
def test_wrong_section_in_the_configuration_is_named(section: Any) -> None:
    """An option that does not exist is refused, with the place where it stands."""
    with (
        lithops.FunctionExecutor(config={**LOCALHOST, "rdf_lithops": section}, log_level=None) as fexec,
        pytest.raises(TypeError, match="section rdf_lithops of Lithops' configuration"),
    ):
        ROOT.RDataFrame(100, executor=fexec)


def test_gc_leaves_the_folder_of_a_living_driver(tmp_path: Path) -> None:
    """Its own ROOT process does not live in that folder; the driver does."""
    folder = tmp_path / "rdf_lithops-driver"
    folder.mkdir(0o700)
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as fexec:
        lithops_folders = leftovers.LithopsFolders("", (), str(tmp_path))

        def found() -> list[Any]:  # what executors of other tests have in the storage is not asked for
            return [left.paths for left in leftovers.find(fexec.storage, lithops_folders, 0.0) if left.paths]

        with contextlib.closing(leftovers.claim(str(folder))):
            assert found() == []
        assert found() == [(str(folder),)]


@pytest.mark.slow
def test_the_folder_of_the_first_program_may_go(tmp_path: Path) -> None:
    """A program is served although the folder in which the process was started is deleted, as scratch folders are."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=6.0)
    scratch, other = tmp_path / "scratch", tmp_path / "other"
    scratch.mkdir()
    other.mkdir()
    first = ran(config, 7, scratch)
    scratch.rmdir()
    second = ran(config, 7, other)
    assert set(second["pids"]) & set(first["pids"])  # where one slot had both calls of the first, the second may get another
    assert [first["value"], second["value"]] == [expected(7)] * 2


@pytest.mark.slow
def test_programs_keep_their_own_masks(tmp_path: Path) -> None:
    """Files that a program's graph writes are readable for whom its umask says, whoever started the process."""
    config, written = configuration(tmp_path, keep_warm=True, idle_limit_s=6.0), tmp_path / "written"
    for mask, mode in ((0o027, 0o640), (0o022, 0o644)):
        before = os.umask(mask)
        try:
            ran(config, 7, tmp_path, WRITES="yes")
        finally:
            os.umask(before)
        assert mode == written.stat().st_mode & 0o777
        written.unlink()


BUSY = """
import json, os, sys, lithops, ROOT, rdf_lithops
options = json.loads(sys.argv[2])
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    frame = ROOT.RDataFrame(20, executor=fexec, npartitions=2, options=options)
    code = 'std::ofstream(("begun_" + std::to_string(getpid())).c_str()) << 1; gSystem->Sleep(400); return 1.0;'
    print(frame.Define("x", code).Sum("x").GetValue(), flush=True)
"""


@contextlib.contextmanager
def at_work(config: Path, folder: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program whose event loops have begun, in ``folder``."""
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", BUSY, str(config), json.dumps(options)]
    environment = {**os.environ, "TMPDIR": str(config.parent)}
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert until(lambda: list(folder.glob("begun_*"))), "a program at work"
            yield program
        finally:
            program.kill()


def parents(folder: Path) -> list[psutil.Process]:
    """The clean ROOT processes that serve programs whose temporary files are in ``folder``."""
    found = [process for process in users_of(folder) if "worker.root.parent" in " ".join(cmdline(process))]
    return [process for process in found if process.ppid() not in {other.pid for other in found}]


@pytest.mark.slow
def test_two_programs_at_a_time(tmp_path: Path) -> None:
    """Programs that share the process run beside each other; when one is killed, the other and the next are served."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=60.0)
    with at_work(config, tmp_path / "one") as killed, at_work(config, tmp_path / "two", seed=7) as other:
        assert 1 == len(parents(tmp_path))
        killed.send_signal(signal.SIGKILL)
        said, _ = other.communicate(timeout=LIMIT_S)
    assert "20.0" == said.strip()
    assert ran(config, 7)["value"] == expected(7)


@pytest.mark.slow
def test_a_stopped_program_stops_no_other(tmp_path: Path) -> None:
    """A program that is stopped in the middle of its run keeps nobody else from theirs, and goes on when it is let."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=60.0)
    with at_work(config, tmp_path / "one") as stopped:
        stopped.send_signal(signal.SIGSTOP)
        assert ran(config, 7)["value"] == expected(7)
        stopped.send_signal(signal.SIGCONT)
        said, _ = stopped.communicate(timeout=LIMIT_S)
    assert "20.0" == said.strip()


def test_programs_with_other_environments_run_beside_each_other(tmp_path: Path) -> None:
    """Two programs at a time that differ in a variable have a process each, and each sees its own."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=60.0)
    with at_work(config, tmp_path / "one") as one:
        assert ran(config, 7, RDF_TEST_VARIABLE="1")["value"] == expected(7)
        assert 2 == len(parents(tmp_path))
        said, _ = one.communicate(timeout=LIMIT_S)
    assert "20.0" == said.strip()


@pytest.mark.slow
def test_a_program_with_another_limit_has_its_own(tmp_path: Path) -> None:
    """Options hold, also where a process with other limits is there already: who asks for other ones gets another."""
    config = configuration(tmp_path, keep_warm=True, idle_limit_s=60.0)
    with at_work(config, tmp_path / "one") as one, at_work(config, tmp_path / "two", memory_limit_mib=2000.0) as two:
        limits = {word for parent in parents(tmp_path) for word in cmdline(parent) if "memory_limit" in word}
        assert {"--memory_limit_mib=2000.0", "--memory_limit_mib=3000.0"} == limits
        assert ["20.0", "20.0"] == [program.communicate(timeout=LIMIT_S)[0].strip() for program in (one, two)]
