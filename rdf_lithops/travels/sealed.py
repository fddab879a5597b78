"""Credentials as they travel: sealed, unsealed by the task, installed by the ROOT process for one request, then removed.

    driver ──Sealed, inside the function──────────> bucket ──> task ──unsealed, Unix socket──> ROOT process ──> files, 0600
           ──key: private folder, or the call's own event────────^

Neither road alone is enough to read them. A ROOT process serves one set of credentials in its whole life: connections that
were opened with them stay open inside it, so nobody else's request may meet them there.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import json
import os
import resource
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "FOLDER",
    "KEY_VARIABLE",
    "SHARED",
    "CredentialsUnreadable",
    "Sealed",
    "bearer_token",
    "installed",
    "leave_no_core",
    "pack",
    "read_found",
    "s3_keys",
    "s3_variables",
    "signed_urls",
    "take_key",
    "token_files",
    "token_variables",
    "unseal",
]

KEY_VARIABLE = "RDF_LITHOPS_RUN_KEY"
SHARED = "/tmp"  # where grids put tokens, tickets and proxies
FOLDER = "credentials"  # of the ROOT process, below its meeting folder
_PLACE = "{folder}"  # in a variable's value: where the files lie


class CredentialsUnreadable(Exception):
    """The key of this run did not arrive, or does not fit its credentials."""


@dataclass(frozen=True)
class Sealed:
    """Credentials as they travel.

    ``set_id`` is random and names the set; ``key_file`` is the file with the key on this machine, None where the key comes
    as the variable KEY_VARIABLE of the call.
    """

    ciphertext: bytes = field(repr=False)
    set_id: str
    key_file: str | None = None


def pack(files: Mapping[str, bytes], environment: Mapping[str, str]) -> bytes:
    """Return files by name, and variables, as bytes; ``{folder}`` in a variable stands for where the files will lie."""
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    return json.dumps({"files": encoded, "environment": dict(environment)}).encode()


def take_key() -> str | None:  # decision 33
    """Return the key that came with this call, and take it out of the environment, so that no process inherits it."""
    return os.environ.pop(KEY_VARIABLE, None)


def unseal(sealed: Sealed, key: str | None) -> bytes:
    """Return what was packed; ``key`` is what ``take_key`` gave. Raises CredentialsUnreadable."""
    from cryptography.fernet import Fernet, InvalidToken

    leave_no_core()
    if sealed.key_file is not None:
        try:
            with open(sealed.key_file) as stream:
                key = stream.read()
        except OSError as error:
            raise CredentialsUnreadable(f"the key of this run cannot be read: {error.strerror}") from None
    if key is None:
        raise CredentialsUnreadable("the key of this run did not arrive with the call: pass extra_env=plan.extra_env")
    try:
        return Fernet(key).decrypt(sealed.ciphertext)
    except (InvalidToken, ValueError):
        raise CredentialsUnreadable("the key that came with the call is not that of this run") from None


@contextlib.contextmanager
def installed(packed: bytes | None, folder: str) -> Iterator[None]:  # decision 34
    """Have the packed credentials in the private ``folder`` (made, 0700; files 0600) while this lasts, then remove them.

    The variables that name the files stay set: a process has one set for life, and ROOT's threads may read them at any time.
    A process that has had credentials leaves no core.
    """
    if packed is None:
        yield
        return
    contents: dict[str, Any] = json.loads(packed)
    leave_no_core()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    try:
        for name, encoded in contents["files"].items():
            _write_private(os.path.join(folder, name), base64.b64decode(encoded))
        for name, value in contents["environment"].items():
            value = value.replace(_PLACE, folder)
            if os.environ.get(name) != value:
                os.environ[name] = value
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_private(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def leave_no_core() -> None:
    """Have this process, which holds secrets, leave no core.

    Its limit is one byte, not none: the kernel takes 0 for "no file", and still pipes a core to a handler that is installed.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard == resource.RLIM_INFINITY or hard >= 1 else 0, hard))


def s3_variables() -> dict[str, str]:
    """Return the installed S3 keys as the variables that stand for them."""
    return {name.upper(): value for name, value in s3_keys().items()}


def read_found(path: str, chosen: bool) -> tuple[bytes | None, str]:  # decision 115
    """Return a file's contents, or why it cannot be used; neither where there is no such file.

    What the user has not ``chosen`` by a variable was found at a name that everybody knows, often in /tmp: it has to be his
    or root's, and nobody else may be able to write it. Whoever plants a token there would have the run act for him.
    """
    try:
        if not chosen and (why := _distrusted(os.lstat(path))):  # a link, too: what it names may be a secret of the user's
            return None, why
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if chosen else os.O_NONBLOCK)), "rb") as stream:
            if not chosen and (why := _distrusted(os.fstat(stream.fileno()))):
                return None, why
            return stream.read(), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}"


def _distrusted(seen: os.stat_result) -> str:
    """Say why a file, or a link, that was found somewhere is not used; empty where it is."""
    if seen.st_uid not in (os.getuid(), 0):
        return f"it belongs to user {seen.st_uid}, and not to you"
    if stat.S_ISLNK(seen.st_mode):
        return ""
    if not stat.S_ISREG(seen.st_mode):
        return "it is no regular file"
    return "others can write it: chmod 600 it if it is yours" if seen.st_mode & 0o022 else ""


def token_files() -> list[tuple[str, bool]]:
    """Return the files in which a bearer token is looked for, in WLCG's order, and whether the user has chosen each himself.

    The variable BEARER_TOKEN goes before them.
    """
    name, chosen, runtime = f"bt_u{os.getuid()}", os.environ.get("BEARER_TOKEN_FILE"), os.environ.get("XDG_RUNTIME_DIR")
    paths = [(chosen, True), (os.path.join(runtime, name) if runtime else None, False), (f"{SHARED}/{name}", False)]
    return [(path, is_chosen) for path, is_chosen in paths if path]


def bearer_token() -> str:
    """Return the installed bearer token, else the one that is found here; "" where there is none."""
    given = token_variables().get("BEARER_TOKEN") or os.environ.get("BEARER_TOKEN", "")
    for path, is_chosen in [] if given else token_files():
        data, _ = read_found(path, is_chosen)
        if data is not None:
            return data.decode("latin-1").strip()
    return given.strip()


def token_variables() -> dict[str, str]:
    """Return the installed bearer token as the variable that stands for it."""
    path = os.environ.get("BEARER_TOKEN_FILE")
    if path is None or not os.path.exists(path):
        return {}
    with open(path) as stream:
        return {"BEARER_TOKEN": stream.read().strip()}


def signed_urls() -> dict[str, str]:
    """Return the installed signed URLs, by the names that stand for them in messages and plans."""
    path = os.environ.get("RDF_LITHOPS_SIGNED")
    if path is None or not os.path.exists(path):
        return {}
    with open(path) as stream:
        return dict(json.load(stream))


def s3_keys() -> dict[str, str]:
    """Return the installed S3 keys, by the names that AWS's libraries have for them; none where there are none.

    They are to be given explicitly: variables of the worker's own role would go before a file.
    """
    path = os.environ.get("RDF_LITHOPS_S3_KEYS")
    if path is None:
        return {}
    parser = configparser.RawConfigParser()
    parser.read(path)
    return dict(parser["default"]) if "default" in parser else {}
