"""A PostgreSQL server of its own, without a password, on loopback."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from .process import Process, free_port


def binaries() -> Path:
    """The newest server that this machine has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else Path(shutil.which("postgres") or "postgres").resolve().parent


def start(folder: Path) -> tuple[Process, str]:
    """The server and its superuser's URL. PostgreSQL refuses to run as root: then another user has the folder."""
    data, port = folder / "store", free_port()
    data.mkdir()
    other = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    drop = ["setpriv", f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"] if other else []
    if other:
        folder.chmod(0o755)
        os.chown(data, other.pw_uid, other.pw_gid)
    make = [str(binaries() / "initdb"), "--username=postgres", "--auth=trust", "--no-sync", "-D", str(data)]
    subprocess.run([*drop, *make], check=True, stdout=subprocess.DEVNULL, cwd="/")
    server = [str(binaries() / "postgres"), "-D", str(data), "-p", str(port)]
    server += ["-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]
    process = Process([*drop, *server], folder / "store.log")
    is_ready = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    process.wait_for(lambda: subprocess.run(is_ready, check=False).returncode == 0, "PostgreSQL")
    return process, f"postgres://postgres@127.0.0.1:{port}/postgres"
