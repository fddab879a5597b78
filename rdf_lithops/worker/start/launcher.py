"""Hand a command to the preloaded Python of ``prefork`` and stay until it ends; without one, run it here.

A script, not a module: ``python -S -I launcher.py FOLDER SCRIPT ARGUMENT...``. It is what Lithops' localhost backend starts
as its interpreter where the driver asks for no fork (``executor/forked_jobs.py``), so it imports nothing that costs a
millisecond.
"""

import _socket
import os
import signal
import struct
import sys

LIMIT_S = 10.0  # for the preloaded Python to fork


def main(folder: str, command: list[str]) -> int:
    plug = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    plug.settimeout(LIMIT_S)  # it may have been stopped: then this raises an OSError
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    plug.connect(f"/proc/self/fd/{here}/run.sock")
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    fields = [os.getcwd(), str(len(command)), *command, *environment]
    message = b"\0".join(os.fsencode(field) for field in fields)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("3i", 0, 1, 2))
    plug.sendmsg([struct.pack("!I", len(message))], [rights])
    plug.sendall(message)
    while True:
        said = plug.recv(5)  # as prefork.FORMAT has it
        if len(said) < 5:
            return -signal.SIGKILL  # the preloaded Python is gone, and our child with it: Lithops would log another status
        what, number = struct.unpack("!ci", said)
        plug.settimeout(None)
        if what == b"S":
            return int(number)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1], sys.argv[2:])
    except OSError:
        os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
