"""Our sidecars: their `mesh.yaml`, and starting them."""

import json
from pathlib import Path
from typing import Any

from .process import BenchError, Process, free_port
from .setting import Contender, Setting, get

# the service names are those of the certificates: spiffe://bench/client calls spiffe://bench/server
TRUST_DOMAIN = "bench"
CALLER, CALLED = "client", "server"
ROUTES = [{"kind": "unary", "deadline_ms": 30_000}]


def plain(
    setting: Setting, upstreams: list[int], balancer: str = "peak_ewma", name: str = "ours"
) -> Contender:
    """One sidecar between its program and programs without one."""
    port = free_port()
    called = _called(upstreams) | {"tls": "off", "balancer": {"kind": balancer}}
    caller = {"service": CALLER, "outbound": [{"listen": f"127.0.0.1:{port}", "to": CALLED}]}
    return Contender(name, port, (_start(setting, called, {"workloads": [caller]}),))


def pair(setting: Setting, upstream: int) -> Contender:
    """HTTP/1.1 → outbound → HTTP/2 over mutual TLS → inbound → HTTP/1.1."""
    callee = inbound(setting, upstream)
    port = free_port()
    caller = {
        "service": CALLER,
        "outbound": [{"listen": f"127.0.0.1:{port}", "to": CALLED}],
        **_identity(setting, CALLER),
    }
    process = _start(setting, _called([callee.port]), {"workloads": [caller], "roots": _roots(setting)})
    return Contender("ours", port, (process, *callee.processes))


def inbound(setting: Setting, upstream: int) -> Contender:
    """The called half of the pair. Its port wants a client's certificate."""
    port = free_port()
    callee = {"service": CALLED, "program": f"127.0.0.1:{upstream}", **_identity(setting, CALLED)}
    sidecar = {"inbound": f"127.0.0.1:{port}", "workloads": [callee], "roots": _roots(setting)}
    return Contender("ours", port, (_start(setting, _called([port]), sidecar),))


def server_name() -> str:
    """What a peer asks for in the TLS handshake when it means the called service."""
    return f"{CALLED}.mesh"


def _called(ports: list[int]) -> dict[str, Any]:
    endpoints = [{"address": f"127.0.0.1:{port}"} for port in ports]
    return {"discovery": {"static": endpoints}, "callers": [CALLER], "routes": ROUTES}


def _identity(setting: Setting, service: str) -> dict[str, str]:
    folder = setting.certificates()
    return {"certificate": str(folder / f"{service}.pem"), "key": str(folder / f"{service}.key")}


def _roots(setting: Setting) -> list[str]:
    return [str(setting.certificates() / "ca.pem")]


def _start(setting: Setting, called: dict[str, Any], sidecar: dict[str, Any]) -> Process:
    """A sidecar with one worker that is ready."""
    if setting.binary is None:
        raise BenchError("this needs our binary")
    probes = free_port()
    mesh = {
        "trust_domain": TRUST_DOMAIN,
        "services": {CALLER: {"routes": ROUTES}, CALLED: called},
        "sidecar": sidecar | {"probes": f"127.0.0.1:{probes}", "workers": 1},
    }
    path: Path = setting.folder / f"mesh-{probes}.yaml"
    # JSON is YAML too, and the standard library writes it
    path.write_text(json.dumps(mesh, indent=2))
    process = setting.start("sidecar", [str(setting.binary), "sidecar", "--config", str(path)])
    process.wait_for(lambda: get(probes, "/readyz")[0] == 200, "our sidecar")
    return process
