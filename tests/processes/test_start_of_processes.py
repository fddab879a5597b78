"""Processes that do not start, that are just ending, or whose clients stop: nobody waits for them to the limit."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_connections import url as url  # a server that says on which connection it was asked
from test_warm import LIMIT_S
from waiting import until

from rdf_lithops.processes import beats, warm, wire
from rdf_lithops.worker import task
from rdf_lithops.worker.start import prefork
from rdf_lithops.worker.surroundings import Surroundings

SETTINGS = {"idle_limit_s": 60.0}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    """A private folder to meet in; what listens there ends when it goes."""
    path = tmp_path / "meet"
    path.mkdir(0o700)
    yield str(path)
    for module in ("parent", "reader"):
        process = warm._started.pop((str(path), module), None)
        if process is not None:
            process.kill()
            process.wait()


def locked(path: str) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends, as one does that is ending."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert holder.stdout is not None
    assert "1\n" == holder.stdout.readline()
    return holder


@pytest.mark.parametrize(("module", "name"), [("reader", "reader.sock"), ("parent", "root.sock")])
def test_one_that_is_just_ending_is_followed_by_another(folder: str, module: str, name: str) -> None:
    """Who comes while a process removes what it leaves gets the next one, as soon as the first is gone."""
    lock = os.path.join(folder, "root.lock" if module == "parent" else "reader.lock")
    with locked(lock) as ending:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(warm.connected(folder, SETTINGS, module, name)))
        thread.start()
        assert until(lambda: (begun := warm._started.get((folder, module))) and begun.poll() == 0), "one that is not needed"
        assert ending.stdin is not None
        ending.stdin.close()
        thread.join(LIMIT_S)
        assert not thread.is_alive()
        found[0].close()  # type: ignore[attr-defined]
        assert ending.stdout is not None
        ending.stdout.close()


def test_one_that_dies_at_its_start_is_not_waited_for(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot begin is an error as soon as it has ended, with the end of its log."""
    os.mkdir(os.path.join(folder, "reader.lock"))  # as a disk that is full, or a package that is not there
    began = time.monotonic()
    with pytest.raises(warm.WarmProcessUnavailable, match=r"(?s)reader ended at its start \(1\).*IsADirectoryError"):
        warm.connected(folder, SETTINGS, "reader", "reader.sock")
    assert time.monotonic() - began < warm.START_LIMIT_S / 2


def test_a_root_that_does_not_start_says_why(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ROOT cannot be imported, whoever asked meanwhile, waits for its warm-up or comes later is told so at once."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    why = "ImportError: libCling.so: cannot open shared object file"
    code = f"open({str(gate)!r}).close()\nraise ImportError('libCling.so: cannot open shared object file')"
    (tmp_path / "ROOT.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with warm.connected(folder, SETTINGS) as task_side, warm.connected(folder, SETTINGS) as watcher:
        wire.send(task_side, {"op": "lease", "payload": "p", "graph": "g"})
        wire.send(watcher, {"op": "watch"})
        gate.write_text("")
        for answer in (wire.receive(task_side)[0], wire.receive(watcher)[0]):
            assert ("error", f"ROOT does not start here: {why}") == (answer["reply"], answer["why"])
    assert until(lambda: warm._started[folder, "parent"].poll() is not None), "its end"
    gate.unlink()
    gate.write_text("")
    with pytest.raises((warm.WarmProcessDied, warm.WarmProcessUnavailable), match=r"(?s)libCling|ended"):
        warm.wait_until_warm(folder, LIMIT_S)
    assert why in warm.log_tail(os.path.join(folder, "root.log"))


@pytest.mark.parametrize("said", [b"", b"\0\0"], ids=["nothing", "half a word"])
def test_a_stopped_client_stops_nobody(folder: str, said: bytes) -> None:
    """A client that connects and is stopped before it has said what it wants costs the others nothing."""
    with warm.connected(folder, SETTINGS):
        pass
    with socket.socket(socket.AF_UNIX) as stopped:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stopped.connect(f"/proc/self/fd/{place}/{wire.SOCKET_NAME}")
        os.close(place)
        stopped.sendall(said)
        assert warm.wait_until_warm(folder, LIMIT_S) is not None
        assert stopped.getpeername() is not None


def test_a_child_that_beats_has_a_connection_of_its_own(url: str, tmp_path: Path) -> None:
    """Without a warm process a child beats while the task stores its results: each by a connection of its own."""
    import urllib3

    with urllib3.PoolManager() as pool:
        ours = pool.request("GET", url).data
        asked = tmp_path / "asked"

        class Storage:
            bucket = "b"

            def put_object(self, bucket: str, key: str, body: bytes) -> None:
                asked.with_suffix(".new").write_bytes(pool.request("GET", url, retries=False).data)
                asked.with_suffix(".new").rename(asked)

        os.environ["__TEST_SESSION"] = "job-call"
        pulse = beats.Pulse({"every_s": 0.01, "folder_variable": "__TEST_SESSION"}, Storage())
        try:
            with task._beating(pulse, str(tmp_path)):
                assert until(asked.exists), "a beat"
        finally:
            del os.environ["__TEST_SESSION"]
            pulse.close()
        assert ours != asked.read_bytes()
        assert ours == pool.request("GET", url).data


def test_a_call_that_waits_for_a_process_to_come_up_beats(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another call starts the ROOT process of the machine, or the machine is too busy to, who waits for it lives."""
    told, ended = list[str](), list[BaseException]()

    class Storage:
        bucket = "b"

        def put_object(self, bucket: str, key: str, body: bytes) -> None:
            told.append(key)

    monkeypatch.setenv("__TEST_SESSION", "job-call")
    pulse = beats.Pulse({"every_s": 0.01, "folder_variable": "__TEST_SESSION"}, Storage())

    def ask() -> None:
        try:
            warm.request(folder, {"settings": SETTINGS}, {}, [], pulse)
        except warm.WarmProcessUnavailable as error:
            ended.append(error)

    holder = locked(os.path.join(folder, "start.lock"))
    asking = threading.Thread(target=ask)
    try:
        asking.start()
        assert until(lambda: len(told) > 2), "beats of the one that waits"
        os.rename(folder, tmp_path / "gone")  # nothing is to start
    finally:
        holder.communicate("", LIMIT_S)
        asking.join(LIMIT_S)
        pulse.close()
    assert 1 == len(ended)


@pytest.mark.parametrize("what", ["the user's files", "an array"])
def test_a_call_that_moves_much_beats(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it fetches what the program needs, and while it stores a large result, a call says that it lives."""
    beaten = threading.Event()

    class Storage:
        """One in which anything but a beat takes until the call has beaten."""

        bucket = "b"

        def put_object(self, bucket: str, key: str, body: bytes) -> None:
            if key.endswith(beats.BEAT_NAME):
                beaten.set()
            else:
                assert beaten.wait(LIMIT_S)

        def get_object(self, bucket: str, key: str) -> bytes:
            assert beaten.wait(LIMIT_S)
            raise LookupError(key)

    monkeypatch.setenv("__TEST_SESSION", "job-call")
    said = {"every_s": 0.01, "folder_variable": "__TEST_SESSION"}
    bundle = {"bucket": "b", "key": "files.tar", "sha256": "0" * 64}
    user_code = {"sha256": "1", "bundle": bundle if what == "the user's files" else None}
    here = Surroundings(str(tmp_path), user_code, b"", warm_folder=str(tmp_path), beats=said)
    call = task.MapTask(b"", "", {}, 0, here)
    if user_code["bundle"] is None:
        monkeypatch.setattr(warm, "request", lambda *_: ({"reply": "ok", "keys": ["arrays/0"]}, [b"packed", b"array"]))
        assert b"packed" == call._run_warm({"ranges": []}, {}, Storage(), None)
    else:
        with pytest.raises(LookupError, match=r"files\.tar"):
            call._run_warm({"ranges": []}, {}, Storage(), None)
    assert beaten.is_set()


def test_the_one_that_serves_is_found_by_its_lock(folder: str) -> None:
    """A lock that is held says that somebody lives; one that is not there, or that nobody holds, does not."""
    path = os.path.join(folder, "reader.lock")
    assert not warm._is_locked(path)
    with open(path, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert warm._is_locked(path)
    assert not warm._is_locked(path)


def test_a_launcher_that_is_gone_before_its_child_begins(folder: str) -> None:
    """What was asked for by a launcher that is killed as its child is forked does not run: nobody could end it."""
    script = Path(folder, "stays.py")
    script.write_text("import time\ntime.sleep(600)\n")
    message = b"\0".join(os.fsencode(field) for field in (folder, "1", script))
    with open(os.path.join(folder, "log"), "ab") as log:
        serving = warm.run_module("prefork", [folder], log, subprocess.PIPE)
    assert serving.stdin is not None
    try:
        assert until(lambda: os.path.exists(os.path.join(folder, prefork.SOCKET_NAME))), "the preloaded Python"
        for _ in range(20):  # which of the two goes first, parent or child, is chance
            ours, its = os.pipe()
            os.kill(serving.pid, signal.SIGSTOP)
            with socket.socket(socket.AF_UNIX) as plug:
                plug.connect(os.path.join(folder, prefork.SOCKET_NAME))
                socket.send_fds(plug, [struct.pack("!I", len(message))], [its] * 3)
                plug.sendall(message)
            os.close(its)
            os.kill(serving.pid, signal.SIGCONT)
            assert select.select([ours], [], [], LIMIT_S)[0], "its child runs on"
            os.close(ours)
    finally:
        os.kill(serving.pid, signal.SIGCONT)
        serving.stdin.close()
        serving.wait(LIMIT_S)
