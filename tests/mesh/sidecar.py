"""`meshbase sidecar --config mesh.yaml`: its file, its start, its end."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from certs import TRUST_DOMAIN, Ca
from harness import Process, free_port

Config = dict[str, Any]
# whatever proxy the machine has is not meant for the tests
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def unary(milliseconds: int = 10_000, **more: Any) -> Config:
    """A route for small requests and answers, never tried again."""
    return {"kind": "unary", "deadline_ms": milliseconds, "retry": {"attempts": 0}, **more}


def stream(response: int = 10_000, idle: int = 10_000, **more: Any) -> Config:
    """A route for bodies of any length, never tried again."""
    return {"kind": "stream", "response_ms": response, "idle_ms": idle, "retry": {"attempts": 0}, **more}


def upgrade(response: int = 5_000, idle: int = 10_000, life: int = 60_000, **more: Any) -> Config:
    """A route for connections that leave HTTP."""
    times = {"response_ms": response, "idle_ms": idle, "life_ms": life}
    return {"kind": "upgrade", **times, "retry": {"attempts": 0}, **more}


def tcp(idle: int = 60_000) -> Config:
    """A route for bytes."""
    return {"kind": "tcp", "idle_ms": idle}


def service(routes: list[Config], callers: list[str], at: str | int | None = None, **more: Any) -> Config:
    """A service whose proxy (or, with `tls="off"`, whose program) listens `at` a port or `unix:PATH`."""
    made: Config = {"callers": callers, "routes": routes, **more}
    if at is not None:
        address = f"127.0.0.1:{at}" if isinstance(at, int) else at
        made["discovery"] = {"static": [{"address": address}]}
    return made


def outbound(listen: str | int, protocol: str = "http1", to: str | None = None) -> Config:
    """A listener where a program hands over its calls."""
    made = {"listen": f"127.0.0.1:{listen}" if isinstance(listen, int) else listen, "protocol": protocol}
    return made if to is None else {**made, "to": to}


def callers(services: dict[str, Config]) -> list[str]:
    """Everybody whom a service lets in. Who only calls must be named too."""
    found = []
    for one in services.values():
        found += one["callers"]
        for policy in one.get("policies", []):
            found += policy["from"]
    return found


def sni(name: str) -> str:
    """The name by which a caller's proxy asks for a service at an inbound port."""
    return f"{name}.mesh"


class Sidecar:
    """One proxy beside one program. It is ready when the constructor returns."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        ca: Ca,
        name: str,
        services: dict[str, Config],
        *,
        inbound: int | None = None,
        program: str | int | None = None,
        listeners: list[Config] | None = None,
        command: list[str] | None = None,
        ready: str | None = None,
        environment: dict[str, str] | None = None,
        more: Config | None = None,
    ) -> None:
        self.name = name
        self.probes = free_port()
        self.metrics = free_port()
        pair = ca.identity(name)
        workload: Config = {"service": name, "certificate": str(pair.certificate), "key": str(pair.key)}
        if program is not None:
            workload["program"] = f"127.0.0.1:{program}" if isinstance(program, int) else program
        if ready is not None:
            workload["ready"] = ready
        workload["outbound"] = listeners or []
        proxy: Config = {"workloads": [workload], "roots": [str(ca.file)]}
        proxy["probes"] = f"127.0.0.1:{self.probes}"
        proxy["metrics"] = f"127.0.0.1:{self.metrics}"
        proxy["admin"] = str(folder / f"{name}-admin.sock")
        proxy["lame_duck_ms"] = 100
        if inbound is not None:
            proxy["inbound"] = f"127.0.0.1:{inbound}"
        telemetry = {"access_log": True}
        mesh: Config = {"trust_domain": TRUST_DOMAIN, "telemetry": telemetry, **(more or {})}
        mesh["services"] = {**{caller: {} for caller in [name, *callers(services)]}, **services}
        mesh["sidecar"] = proxy
        # JSON is YAML
        self.config = folder / f"{name}.yaml"
        self.config.write_text(json.dumps(mesh, indent=1))
        run = [str(binary), "sidecar", "--config", str(self.config)]
        if command:
            run += ["--", *command]
        self.process = Process(f"sidecar-{name}", run, folder, environment)
        try:
            self.process.await_true(lambda: self.get("/readyz") == 200, "/readyz")
        except Exception:
            self.process.stop(1)
            raise

    def get(self, path: str) -> int:
        """The status of one of its probes; 0 if nobody answers."""
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.probes}{path}", timeout=2) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def said(self) -> str:
        """What it wrote to standard output and standard error."""
        return self.process.said()

    def stop(self) -> int:
        """Stops it as an operator would; its exit code."""
        return self.process.stop()
