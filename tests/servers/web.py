"""nginx over a folder: http and https, the latter with a certificate of an authority of its own. Folders named ``dav`` can
be written."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from servers import daemons

WEBDAV = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
WRITABLE = """
      dav_methods PUT DELETE MKCOL MOVE;
      dav_ext_methods PROPFIND OPTIONS;
      create_full_put_path on;
      client_max_body_size 0;
"""

CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  log_format authorization '$scheme $uri $status $http_authorization';
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  tcp_nodelay on;
  server {{
    listen 127.0.0.1:{http_port};
    root {root};
    location /forbidden/ {{ return 403; }}
    location /protected/ {{ access_log {folder}/authorization.log authorization; return 401; }}
    location /signed/ {{ if ($arg_sig != "{signature}") {{ return 403; }} }}
    location /dav/ {{ {writable} }}
  }}
  server {{
    listen 127.0.0.1:{https_port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {root};
    access_log {folder}/authorization.log authorization;
    location /protected/ {{
      if ($http_authorization != "Bearer {token}") {{ return 401; }}
      {writable}
    }}
    location /dav/ {{ {writable} }}
  }}
}}
"""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: ``certificate`` is what clients must trust."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.pem"

    def sign(self, name: str, *alternatives: str) -> tuple[Path, Path]:
        """A certificate for ``name`` (its common name) and its key; ``alternatives`` as ``DNS:localhost``."""
        key, request, signed = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "pem"))
        subject = ("-subj", f"/O=tests/CN={name}")
        daemons.run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, *subject)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(alternatives)}\n" if alternatives else "")
        authority = ("-CA", self.certificate, "-CAkey", self.folder / "authority.key", "-CAcreateserial", "-days", "2")
        daemons.run("openssl", "x509", "-req", "-in", request, "-out", signed, *authority, "-extfile", extensions)
        return signed, key


def authority(folder: Path) -> Authority:
    """A new certificate authority in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder)
    what = ("-keyout", folder / "authority.key", "-out", made.certificate, "-days", "2", "-subj", "/O=tests/CN=authority")
    extensions = ("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    daemons.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *what, *extensions)
    return made


@dataclass(frozen=True)
class Web:
    """A running nginx: what lies in ``root`` is served at ``http`` and ``https``; ``protected/`` to who has ``token``, and
    over https alone; ``signed/`` over http to those whose URL has ``signature`` as its ``sig``. ``protected/`` over https,
    and ``dav/``, can be written."""

    root: Path
    http: str
    https: str
    authority: Authority
    log: Path
    token: str
    signature: str

    def authorized(self) -> set[tuple[str, str]]:
        """The requests that brought a token: scheme and path."""
        # nginx, one process here, writes a request's line behind its answer, and before it reads the next request
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(self.http, timeout=10).close()
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return {(scheme, uri) for scheme, uri, _, *brought in lines if brought != ["-"]}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Web]:
    """nginx with its state in ``folder``; it serves ``folder/root``."""
    daemons.require("nginx", "openssl", "setpriv")
    if not WEBDAV.exists():
        raise daemons.ServerMissing(f"no {WEBDAV} on this machine; run {daemons.INSTALL} as root")
    root = folder / "root"
    root.mkdir(parents=True)
    signer = authority(folder / "authority")
    certificate, key = signer.sign("server", "DNS:localhost", "IP:127.0.0.1")
    http_port, https_port = daemons.free_ports(2)
    token, signature = f"token-{uuid.uuid4().hex}", f"signature-{uuid.uuid4().hex}"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            module=WEBDAV,
            writable=WRITABLE,
            token=token,
            signature=signature,
            folder=folder,
            root=root,
            http_port=http_port,
            https_port=https_port,
            certificate=certificate,
            key=key,
        )
    )
    log = folder / "daemon.log"
    command = ["nginx", "-c", configuration, "-p", folder, "-e", folder / "error.log"]
    with daemons.running(command, log) as process:
        for port in (http_port, https_port):
            daemons.wait_until(lambda port=port: daemons.listens(port), [process], log, "nginx")  # type: ignore[misc]
        urls = f"http://127.0.0.1:{http_port}", f"https://localhost:{https_port}"
        yield Web(root, *urls, signer, folder / "authorization.log", token, signature)
