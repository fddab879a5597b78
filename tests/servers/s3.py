"""S3 as large sites run it: Ceph's RADOS gateway, over one monitor and one object store that is kept in memory."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import daemons

USER = "test"
ACCESS_KEY, SECRET_KEY, REGION = "testkey", "testsecret", "us-east-1"
STORE_BYTES = 4 << 30
CONFIGURATION_NAME = "ceph.conf"
END_LIMIT_S = 0.5  # nothing of it is to be kept, and its own ending takes 10 s

CONFIGURATION = """
[global]
fsid = {cluster}
mon host = {monitors}
public network = 127.0.0.0/8
ms bind ipv4 = true
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
log file = {folder}/$name.log
pid file =
admin socket =
run dir = {folder}
crash dir = {folder}
setuser match path =
mon data = {folder}/mon
mon initial members = a
mon data avail crit = 1
mon data avail warn = 2
mon allow pool size one = true
mon warn on pool no redundancy = false
# each of the gateway's pools waits for this a few times
paxos propose interval = 0.01
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = {store_bytes}
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off

[client.rgw]
# without it the gateway waits for a monitor that speaks encrypted only
ms mon client mode = crc
# without tcp_nodelay every small GET takes 40 ms
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dns name = localhost
rgw thread pool size = 64
rgw enable usage log = false
rgw gc obj min wait = 60
# one line per request, with the bytes of its body
debug rgw = 1/1
"""

_BEGINS = "====== starting new request "  # written before its answer is sent, _REQUEST behind it
_REQUEST = re.compile(
    r'beast: \S+ \S+ \S+ (?P<user>\S+) \[[^]]*\] "(?P<method>\w+) (?P<target>\S+) [^"]*" (?P<status>\d+) (?P<body>\d+) '
)


@dataclass(frozen=True)
class Request:
    """One request as the gateway saw it; ``body_bytes`` of the answer, or of what was put."""

    method: str
    target: str
    status: int
    body_bytes: int


@dataclass(frozen=True)
class S3:
    """A running gateway and the one user that it knows."""

    endpoint: str
    log: Path
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs are pointed here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, **given: Any) -> Any:
        """A boto3 client of this user; ``given`` overrides its arguments. Close it."""
        import boto3

        arguments = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
        }
        return boto3.client("s3", **{**arguments, **given})

    def add_key(self, access_key: str, secret_key: str) -> None:
        """From now on the user may sign with this key, too."""
        configuration = self.log.parent / CONFIGURATION_NAME
        keys = ("--key-type", "s3", "--access-key", access_key, "--secret-key", secret_key)
        daemons.run("radosgw-admin", "--conf", configuration, "--name", "client.rgw", "key", "create", "--uid", USER, *keys)

    @contextlib.contextmanager
    def bucket(self) -> Iterator[str]:
        """A new bucket, emptied and deleted when the block ends."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
            try:
                yield name
            finally:
                for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
                    keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
                    if keys:
                        client.delete_objects(Bucket=name, Delete={"Objects": keys})
                client.delete_bucket(Bucket=name)

    def requests(self, containing: str = "") -> list[Request]:
        """Every request so far whose target contains ``containing``, from the gateway's own log."""
        found = (_REQUEST.search(line) for line in self._settled_log().splitlines())
        return [
            Request(match["method"], match["target"], int(match["status"]), int(match["body"]))
            for match in found
            if match is not None and containing in match["target"]
        ]

    def _settled_log(self) -> str:
        """The log, once it shows a request made now and the end of all before it: the gateway writes it behind its back."""
        mark = f"/mark-{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(self.endpoint + mark, timeout=10).close()
        deadline = time.monotonic() + 10
        while not is_settled(text := self.log.read_text(errors="replace"), mark) and time.monotonic() < deadline:
            time.sleep(0.02)
        return text


def is_settled(log: str, mark: str) -> bool:
    """Whether the request for ``mark`` is in the log and each that began has its line: threads write theirs in any order."""
    return mark in log and log.count(_BEGINS) == len(_REQUEST.findall(log))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[S3]:
    """A gateway that keeps its state in ``folder`` and its objects in memory; up to STORE_BYTES of them."""
    daemons.require("ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw", "radosgw-admin", "setpriv")
    for name in ("mon", "osd"):
        (folder / name).mkdir(parents=True)
    first, second, port = daemons.free_ports(3)
    monitors = f"[v2:127.0.0.1:{first},v1:127.0.0.1:{second}]"
    cluster = str(uuid.uuid4())
    configuration = folder / CONFIGURATION_NAME
    configuration.write_text(
        CONFIGURATION.format(cluster=cluster, monitors=monitors, folder=folder, store_bytes=STORE_BYTES, port=port)
    )
    config = ("--conf", configuration)
    with contextlib.ExitStack() as stack:
        monitor_map = folder / "monmap"
        daemons.run("monmaptool", "--create", "--addv", "a", monitors, "--fsid", cluster, monitor_map)
        daemons.run("ceph-mon", *config, "--mkfs", "--id", "a", "--monmap", monitor_map)
        log = folder / "daemons.log"

        def start(*command: str) -> None:
            running_one = daemons.running([command[0], *config, "--foreground", *command[1:]], log, stop_limit_s=END_LIMIT_S)
            processes.append(stack.enter_context(running_one))

        processes: list[subprocess.Popen[bytes]] = []
        start("ceph-mon", "--id", "a")
        _add_store(config)
        start("ceph-osd", "--id", "0")
        start("radosgw", "--name", "client.rgw")
        daemons.wait_until(lambda: daemons.listens(port), processes, log, "Ceph's gateway")
        keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        daemons.run(
            "radosgw-admin", *config, "--name", "client.rgw", "user", "create", "--uid", USER, "--display-name", USER, *keys
        )
        yield S3(f"http://127.0.0.1:{port}", folder / "client.rgw.log")


def _add_store(config: tuple[str | Path, ...]) -> None:
    """Tell the monitor of the one object store, and make its folder."""
    store = str(uuid.uuid4())
    daemons.run("ceph", *config, "--connect-timeout", "30", "osd", "new", store)
    daemons.run("ceph-osd", *config, "--id", "0", "--mkfs", "--osd-uuid", store, "--no-mon-config")
    daemons.run(
        "ceph", *config, "--connect-timeout", "30", "osd", "crush", "add", "osd.0", "1.0", "host=here", "root=default"
    )
