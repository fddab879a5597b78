"""Programs that run beside a test and never outlive it: bounded start, clean stop, ended by the kernel with their parent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

INSTALL = "tests/servers/install.sh"
START_LIMIT_S = 60.0
STILL_OURS = '[ "$PPID" = "$0" ] && exec "$@"'  # a parent that died before the kernel was told to watch it sends no signal


class ServerMissing(Exception):
    """A server whose programs are not installed: which ones, and the command that brings them."""


class ServerFailed(Exception):
    """A server that is installed and does not start: what it said."""


def require(*programs: str) -> None:
    """Raise ServerMissing, with the command that helps, unless all ``programs`` are there."""
    missing = [name for name in programs if shutil.which(name, path=search_path()) is None]
    if missing:
        raise ServerMissing(f"no {', '.join(missing)} on this machine; run {INSTALL} as root")


def search_path() -> str:
    """PATH with the folders that ordinary users lack and servers live in."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        plugs = [stack.enter_context(socket.socket()) for _ in range(count)]
        for plug in plugs:
            plug.bind(("127.0.0.1", 0))
        return [plug.getsockname()[1] for plug in plugs]


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    stop_limit_s: float = 10.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a foreground ``command`` that writes to ``log``, as ``user`` (of root only), until the block ends.

    It is asked to end, and killed after ``stop_limit_s``. It gets SIGTERM when this process dies, however that happens;
    children of it must die with it.
    """
    launcher = ["setpriv", "--pdeathsig", "TERM"]
    if user is not None and os.getuid() == 0:
        launcher += ["--reuid", user, "--regid", user, "--clear-groups"]
    launcher += ["sh", "-c", STILL_OURS, str(os.getpid())]
    env = {**(os.environ if environment is None else environment), "PATH": search_path()}
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [*launcher, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=log.parent
        )
    try:
        yield process
    finally:
        _stop(process, stop_limit_s)


def _stop(process: subprocess.Popen[bytes], limit_s: float) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(ready: Callable[[], bool], processes: Sequence[subprocess.Popen[bytes]], log: Path, what: str) -> None:
    """Return when ``ready()``; ServerFailed, with the end of ``log``, when a process ends first or time is up."""
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        ended = [process.args for process in processes if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            why = f"it ended ({ended})" if ended else f"it is not ready after {START_LIMIT_S} s"
            tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
            raise ServerFailed(f"{what} does not start: {why}; {log} ends with:\n{tail}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as plug:
        plug.settimeout(1.0)
        return plug.connect_ex(("127.0.0.1", port)) == 0


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(*command: str | Path, environment: Mapping[str, str] | None = None, limit_s: float = 60.0) -> str:
    """Run a command that ends by itself and return what it printed; ServerFailed when it fails."""
    env = {**(os.environ if environment is None else environment), "PATH": search_path()}
    words = list(map(str, command))
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, env=env)
    except subprocess.TimeoutExpired as error:
        raise ServerFailed(f"{' '.join(words)} does not end within {limit_s} s") from error
    if done.returncode != 0:
        raise ServerFailed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout
