"""How many functions of ours one later query enters, on this machine, from ``GetValue()`` to the value: in which process.

``python -m benchmarks.hops`` runs one small histogram three times in a program whose processes note each call of a function
of the package, and counts those of the third query. The walk in DESIGN.md has the ones that decide something.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rdf_lithops

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = Path(rdf_lithops.__file__).resolve().parent
# who a process is, by what runs in no other one; the driver is who reads results
ROLES = {
    "run/running.py": "driver",
    "worker/root/slot.py": "slot",
    "worker/root/parent.py": "parent",
    "worker/task.py": "fork for a call",
    "worker/fold_task.py": "fork for a reducer",
    "worker/start/prefork.py:_become": "Lithops' worker",
    "worker/start/prefork.py": "preloaded Python",
}
# opened anew each time: processes of ours close what they have inherited
HOOK = """
import os, sys, threading, time
def note(frame, event, arg, root=os.environ["HOPS_ROOT"], folder=os.environ["HOPS_FOLDER"]):
    if event == "call" and frame.f_code.co_filename.startswith(root):
        name = frame.f_code.co_filename[len(root) + 1:] + ":" + getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        descriptor = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, f"{time.time():.6f} {name}\\n".encode())
        os.close(descriptor)
threading.setprofile(note)
sys.setprofile(note)
"""
PROGRAM = """
import sys, time
import lithops, ROOT, rdf_lithops
ROOT.RDataFrame(1000).Define("x", "(double)rdfentry_").Snapshot("t", sys.argv[1])
with lithops.FunctionExecutor() as fexec:
    for _ in range(3):
        frame = ROOT.RDataFrame("t", sys.argv[1], executor=fexec, npartitions=1)
        histogram = frame.Filter("x > 2").Histo1D(("h", "", 9, 0, 9), "x")
        began = time.time()
        histogram.GetValue()
        ended = time.time()
print(began, ended)
"""


def noted(folder: Path, began: float, ended: float) -> Iterator[tuple[str, list[str]]]:
    """Of each process that called something of ours between the two times: who it is, and what it called."""
    for path in folder.iterdir():
        pairs = [line.split(" ", 1) for line in path.read_text().splitlines()]
        names = [name for time_s, name in pairs if began <= float(time_s) <= ended]
        if names:
            yield next((role for mark, role in ROLES.items() if any(mark in name for name in names)), "another"), names


def is_named(name: str) -> bool:
    """Whether a function has a name of its own."""
    return "<" not in name.rpartition(".")[2]


def main() -> None:
    """Run the program, and print a table."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "sitecustomize.py").write_text(HOOK)
        (folder / "calls").mkdir()
        environment = {
            **os.environ,
            "HOPS_ROOT": str(PACKAGE),
            "HOPS_FOLDER": str(folder / "calls"),
            "PYTHONPATH": os.pathsep.join((made, str(PACKAGE.parent))),
            "LITHOPS_CONFIG_FILE": str(REPOSITORY / "configs" / "localhost.yaml"),
        }
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder / "t.root")]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        began, ended = map(float, done.stdout.split()[-2:])
        found = list(noted(folder / "calls", began, ended))
    everywhere = {name for _, names in found for name in names if is_named(name)}
    for role, names in sorted(found, key=lambda item: -len(set(item[1]))):
        print(f"{role:36} {len({name for name in names if is_named(name)}):5} functions {len(names):6} calls")
    print(f"{'together':36} {len(everywhere):5} functions, in {len(found)} processes")


if __name__ == "__main__":
    main()
