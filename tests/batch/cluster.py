"""Slurm's own daemons as processes of a test: munged, slurmctld, and a slurmd for each of two nodes of this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import daemons

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")
NODES = ("n1", "n2")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{limits}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=100000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge={min_job_age}
{accounting}
KillWait=2
OverTimeLimit=0
SlurmctldTimeout=10
SlurmdTimeout=10
MaxArraySize={array_size}
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF
"""

# limits as sites have them, by the kernel; or, where this machine's are not ours, by Slurm's looking at processes
KERNEL_LIMITS = """ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"""
OWN_LIMITS = """ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill"""
CGROUPS = """CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
"""


# what sites keep their accounts in: a database behind a daemon of Slurm's own
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.sock"""
DATABASE = """AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_accounts
"""
ACCOUNTANTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacct", "sacctmgr")


def has_cgroups() -> bool:
    """Whether the kernel's limits can be set here, in the way that Debian's Slurm knows."""
    return all(os.access(f"/sys/fs/cgroup/{name}/cgroup.procs", os.W_OK) for name in ("memory", "freezer"))


@dataclass
class Slurm:
    """A cluster that is up. ``variables`` are what its commands need in their environment."""

    folder: Path
    variables: dict[str, str]
    ports: dict[str, int]
    stack: contextlib.ExitStack = field(repr=False)
    processes: dict[str, contextlib.ExitStack] = field(default_factory=dict, repr=False)

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return daemons.run(*command, environment={**os.environ, **self.variables})

    def queue(self) -> list[str]:
        """The jobs that wait or run, of all users."""
        return self.ask("squeue", "--noheader", "--array", "--format=%j %K %T").splitlines()

    def start(self, name: str, *command: str) -> None:
        """Start a daemon that was not up, or was stopped."""
        stack = self.processes[name] = contextlib.ExitStack()
        environment = {**os.environ, **self.variables}
        stack.enter_context(daemons.running(command, self.folder / f"{name}.out", environment=environment))

    def start_controller(self) -> None:
        """Start the controller, which finds its jobs again."""
        self.start("slurmctld", "slurmctld", "-D")
        daemons.wait_until(self._answers, [], self.folder / "slurmctld.log", "slurmctld")

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self.start(name, "slurmd", "-D", "-N", name)

    def stop(self, name: str) -> None:
        """Stop a daemon: ``slurmctld`` or a node's."""
        self.processes.pop(name).close()

    def _answers(self) -> bool:
        with contextlib.suppress(daemons.ServerFailed):
            self.ask("scontrol", "ping")
            return "UP" in self.ask("scontrol", "ping")
        return False

    def idle(self) -> bool:
        """Whether all nodes are there, and free."""
        with contextlib.suppress(daemons.ServerFailed):
            return ["idle"] * len(NODES) == self.ask(
                "sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"
            ).split()
        return False


@contextlib.contextmanager
def running(
    folder: Path,
    memory_mib: int = 6000,
    cpus: int = 2,
    array_size: int = 1001,
    min_job_age: int = 300,
    accounting: bool = False,
) -> Iterator[Slurm]:
    """A cluster whose files lie in ``folder``, until the block ends; its controller forgets a job ``min_job_age`` seconds
    after its end. Raises ServerMissing, ServerFailed."""
    daemons.require(*PROGRAMS, *(ACCOUNTANTS if accounting else ()))
    if os.getuid() != 0:
        raise daemons.ServerMissing("Slurm's daemons run as root here: make test-batch as root")
    folder.chmod(0o755)
    named = ("slurmctld", *NODES, "slurmdbd", "mariadbd")
    ports = dict(zip(named, daemons.free_ports(len(named)), strict=True))
    (folder / "state").mkdir()
    accounts = ACCOUNTING.format(port=ports["slurmdbd"], folder=folder) if accounting else ""
    _configure(
        folder, ports, memory_mib, cpus, {"array_size": array_size, "min_job_age": min_job_age, "accounting": accounts}
    )
    with contextlib.ExitStack() as stack:
        slurm = Slurm(folder, {"SLURM_CONF": str(folder / "slurm.conf")}, ports, stack)
        stack.callback(_stop_all, slurm)
        _start_munge(folder, slurm)
        if accounting:
            _start_accounting(folder, slurm)
        slurm.start_controller()
        for node in NODES:
            slurm.start_node(node)
        daemons.wait_until(slurm.idle, [], folder / "slurmctld.log", "Slurm's nodes")
        yield slurm
        with contextlib.suppress(daemons.ServerFailed):
            slurm.ask("scancel", "--quiet", "--state=PENDING")
            slurm.ask("scancel", "--quiet", "--state=RUNNING")


def _stop_all(slurm: Slurm) -> None:
    for name in [*NODES, "slurmctld", "slurmdbd", "mariadbd", "munged"]:
        if name in slurm.processes:
            slurm.stop(name)


def _configure(folder: Path, ports: dict[str, int], memory_mib: int, cpus: int, more: dict[str, Any]) -> None:
    host = socket.gethostname()
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} CPUs={cpus} RealMemory={memory_mib}"
        for node in NODES
    )
    limits = KERNEL_LIMITS if has_cgroups() else OWN_LIMITS
    (folder / "cgroup.conf").write_text(CGROUPS)
    given = {
        "limits": limits,
        "host": host,
        "folder": folder,
        "controller": ports["slurmctld"],
        "nodes": nodes,
        **more,
    }
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**given))


def _start_munge(folder: Path, slurm: Slurm) -> None:
    """What Slurm's daemons and commands know each other by."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    names = {"socket": "sock", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
    given = [f"--{option}={folder}/munge.{ending}" for option, ending in names.items()]
    slurm.start("munged", "munged", "--foreground", "--force", *given)
    daemons.wait_until((folder / "munge.sock").exists, [], folder / "munge.log", "munged")


def _start_accounting(folder: Path, slurm: Slurm) -> None:
    """A database of its own, the daemon before it, and this cluster in its books."""
    data, password = folder / "database", os.urandom(12).hex()
    user = ["--user=root", f"--datadir={data}", "--no-defaults"]
    daemons.run("mariadb-install-db", user[2], *user[:2], "--skip-test-db", "--auth-root-authentication-method=normal")
    plug = folder / "database.sock"
    given = [f"--socket={plug}", f"--port={slurm.ports['mariadbd']}", "--bind-address=127.0.0.1"]
    small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=OFF"]
    slurm.start("mariadbd", "mariadbd", user[2], *user[:2], *given, *small)
    daemons.wait_until(plug.exists, [], folder / "mariadbd.out", "mariadbd")
    grant = f"GRANT ALL ON slurm_accounts.* TO slurm@'127.0.0.1' IDENTIFIED BY '{password}'"
    daemons.run("mariadb", "--no-defaults", f"--socket={plug}", "--user=root", "--execute", grant)
    where = {"folder": folder, "host": socket.gethostname(), "port": slurm.ports["slurmdbd"]}
    written = folder / "slurmdbd.conf"
    written.write_text(DATABASE.format(**where, database=slurm.ports["mariadbd"], password=password))
    written.chmod(0o600)
    slurm.start("slurmdbd", "slurmdbd", "-D")
    daemons.wait_until(lambda: _keeps_books(slurm), [], folder / "slurmdbd.log", "slurmdbd")


def _keeps_books(slurm: Slurm) -> bool:
    with contextlib.suppress(daemons.ServerFailed):
        slurm.ask("sacctmgr", "--immediate", "add", "cluster", "test")
        return True
    return False
