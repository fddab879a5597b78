"""XRootD servers over a folder, one per way to say who one is: anonymous, sss, krb5, gsi, macaroons; and XrdHttp.

A URL's path never exists on this machine: where it does, ROOT opens the local file instead of asking the server.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import hmac
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers import daemons, web

USER = "xrootd"  # the server refuses to run as root
REALM = "TEST.INVALID"

CONFIGURATION = """
all.export /data
all.adminpath {folder}/admin
all.pidpath {folder}/admin
oss.localroot {folder}/root
xrd.port {port}
xrd.network nodnr
{extra}
"""

KERBEROS = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  ignore_acceptor_hostname = true
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
    key_stash_file = {folder}/stash
  }}
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[dbmodules]
  {realm} = {{
    db_library = db2
    database_name = {folder}/principal
  }}
"""


@dataclass(frozen=True)
class XRootD:
    """A running server: what lies in ``data`` is served below ``url``; ``credentials`` are the variables that open it."""

    data: Path
    url: str
    log: Path
    credentials: Mapping[str, str] = field(default_factory=dict)

    def put(self, path: Path | str) -> str:
        """Copy a file to the server; returns its URL."""
        target = self.data / Path(path).name
        shutil.copy(path, target)
        target.chmod(0o644)
        return f"{self.url}/{target.name}"


@contextlib.contextmanager
def running(folder: Path, kind: str = "anonymous") -> Iterator[XRootD]:
    """A server of that kind with its state in ``folder``; it serves ``folder/root/data``."""
    daemons.require("xrootd", "setpriv")
    data = folder / "root" / "data"
    data.mkdir(parents=True)
    (folder / "admin").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        extra, credentials, environment = stack.enter_context(_KINDS[kind](folder))
        port = daemons.free_ports(1)[0]
        configuration = folder / "xrootd.cfg"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, extra=extra.format(port=port)))
        _hand_over(folder)
        log = folder / "xrootd.log"
        command = ["xrootd", "-c", configuration, "-l", folder / "server.log", "-n", "test"]
        server = stack.enter_context(daemons.running(command, log, USER, {**os.environ, **environment}))
        daemons.wait_until(lambda: daemons.listens(port), [server], log, f"XRootD ({kind})")
        scheme, slash = ("http", "") if kind == "http" else ("root", "/")
        yield XRootD(data, f"{scheme}://localhost:{port}{slash}/data", log, credentials)


def _hand_over(folder: Path) -> None:
    """Give ``folder`` to the server's user, who must also be able to reach it."""
    if os.getuid() != 0:
        return
    for place in [folder, *folder.rglob("*")]:
        shutil.chown(place, USER, USER)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)


Kind = tuple[str, dict[str, str], dict[str, str]]


@contextlib.contextmanager
def _anonymous(folder: Path) -> Iterator[Kind]:
    yield "", {}, {}


@contextlib.contextmanager
def _http(folder: Path) -> Iterator[Kind]:
    yield "xrd.protocol http:{port} libXrdHttp.so", {}, {}


@contextlib.contextmanager
def _sss(folder: Path) -> Iterator[Kind]:
    """A shared secret: one key file for server and client."""
    daemons.require("xrdsssadmin")
    keys = folder / "sss.keytab"
    daemons.run("xrdsssadmin", "-k", "test", "-u", "anybody", "-g", "usrgroup", "add", keys, limit_s=20)
    theirs = folder.parent / f"{folder.name}-client.keytab"
    shutil.copy(keys, theirs)
    theirs.chmod(0o600)
    extra = f"xrootd.seclib libXrdSec.so\nsec.protocol sss -s {keys}\nsec.protbind * only sss"
    yield extra, {"XrdSecSSSKT": str(theirs), "XrdSecPROTOCOL": "sss"}, {}


@contextlib.contextmanager
def kerberos(folder: Path) -> Iterator[Kind]:
    """A key distribution centre of its own, a server principal, and a ticket for the client."""
    daemons.require("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
    port = daemons.free_ports(1)[0]
    kerberos = folder / "kerberos"
    kerberos.mkdir()
    configuration = kerberos / "krb5.conf"
    configuration.write_text(KERBEROS.format(realm=REALM, port=port, folder=kerberos))
    configuration.chmod(0o644)
    own = {**os.environ, "KRB5_CONFIG": str(configuration), "KRB5_KDC_PROFILE": str(configuration)}
    daemons.run("kdb5_util", "-r", REALM, "create", "-s", "-P", "master", environment=own)
    server_keys, client_keys = kerberos / "server.keytab", folder.parent / f"{folder.name}-client.keytab"
    for principal, keys in ((f"xrootd/localhost@{REALM}", server_keys), (f"user@{REALM}", client_keys)):
        for query in (f"addprinc -randkey {principal}", f"ktadd -k {keys} {principal}"):
            daemons.run("kadmin.local", "-r", REALM, "-q", query, environment=own)
    centre = ["krb5kdc", "-n", "-r", REALM]
    with daemons.running(centre, kerberos / "kdc.log", environment=own) as process:
        daemons.wait_until(lambda: daemons.listens(port), [process], kerberos / "kdc.log", "Kerberos' KDC")
        ticket = folder.parent / f"{folder.name}-ticket"
        daemons.run("kinit", "-k", "-t", client_keys, "-c", f"FILE:{ticket}", f"user@{REALM}", environment=own)
        theirs = folder.parent / f"{folder.name}-krb5.conf"
        shutil.copy(configuration, theirs)
        extra = (
            f"xrootd.seclib libXrdSec.so\nsec.protocol krb5 {server_keys} xrootd/localhost@{REALM}\nsec.protbind * only krb5"
        )
        client = {"KRB5_CONFIG": str(theirs), "KRB5CCNAME": f"FILE:{ticket}", "XrdSecPROTOCOL": "krb5"}
        # its record of tickets seen would lie in a temporary folder of ours, where the server's user may not write
        yield extra, client, {"KRB5_CONFIG": str(configuration), "KRB5RCACHENAME": "none:"}


@contextlib.contextmanager
def _gsi(folder: Path) -> Iterator[Kind]:
    """X.509: an authority, a host certificate, and a proxy of a user's certificate."""
    daemons.require("openssl", "xrdgsiproxy")
    signer = web.authority(folder / "authority")
    host, host_key = signer.sign("localhost", "DNS:localhost")
    user, user_key = signer.sign("user")
    trusted = folder.parent / f"{folder.name}-certificates"
    trusted.mkdir()
    digest = daemons.run("openssl", "x509", "-hash", "-noout", "-in", signer.certificate).strip()
    shutil.copy(signer.certificate, trusted / f"{digest}.0")
    proxy = folder.parent / f"{folder.name}-proxy"
    for key in (host_key, user_key):
        key.chmod(0o400)
    daemons.run("xrdgsiproxy", "init", "-cert", user, "-key", user_key, "-certdir", trusted, "-f", proxy, "-valid", "12:00")
    options = f"-certdir:{trusted} -cert:{host} -key:{host_key} -crl:0 -gmapopt:10 -dlgpxy:0"
    extra = f"xrootd.seclib libXrdSec.so\nsec.protocol gsi {options}\nsec.protbind * only gsi"
    client = {
        "X509_USER_PROXY": str(proxy),
        "X509_CERT_DIR": str(trusted),
        "XrdSecPROTOCOL": "gsi",
        "XrdSecGSICRLCHECK": "0",
    }
    yield extra, client, {}


MACAROON = "RDF_TEST_MACAROON"  # no variable of XRootD's: how a test gets at what opens this kind of server


@contextlib.contextmanager
def _macaroons(folder: Path) -> Iterator[Kind]:
    """Opens what a macaroon in the URL (``?authz=``) allows, as dCache's and EOS' do, and nothing else."""
    key = os.urandom(64)
    secret = folder / "macaroon.key"
    secret.write_text(base64.b64encode(key).decode() + "\n")
    secret.chmod(0o400)
    extra = f"all.sitename test\nofs.authorize 1\nofs.authlib libXrdMacaroons.so\nmacaroons.secretkey {secret}"
    yield f"{extra}\nmacaroons.onmissing deny", {MACAROON: macaroon(key, "test", "/data")}, {}


def macaroon(key: bytes, location: str, path: str) -> str:
    """A macaroon (version 1, as libmacaroons makes them) that allows to read below ``path`` for an hour."""

    def signed(secret: bytes, text: bytes) -> bytes:
        return hmac.new(secret, text, hashlib.sha256).digest()

    def packet(name: str, data: bytes) -> bytes:
        body = name.encode() + b" " + data + b"\n"
        return f"{len(body) + 4:04x}".encode() + body

    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    caveats = ("name:alice", "activity:READ_METADATA,DOWNLOAD,LIST", f"path:{path}", f"before:{until:%Y-%m-%dT%H:%M:%SZ}")
    identifier = b"6b1a3b4c-0000-4000-8000-000000000000"
    signature = signed(signed(b"macaroons-key-generator".ljust(32, b"\0"), key), identifier)
    packets = [packet("location", location.encode()), packet("identifier", identifier)]
    for caveat in caveats:
        signature = signed(signature, caveat.encode())
        packets.append(packet("cid", caveat.encode()))
    packets.append(packet("signature", signature))
    return base64.urlsafe_b64encode(b"".join(packets)).decode().rstrip("=")


_KINDS = {"macaroons": _macaroons, "anonymous": _anonymous, "http": _http, "sss": _sss, "krb5": kerberos, "gsi": _gsi}
