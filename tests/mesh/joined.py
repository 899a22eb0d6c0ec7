"""Three proxies: before a caller, before a program that one of them starts, and before a stranger."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import greeter
import sidecar as mesh
from certs import Ca
from harness import check, equal, free_port

ROUTE_DEADLINE = 5_000


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, which must be JSON."""
        kind = self.headers.get("content-type", "")
        check("json" in kind, f"content-type {kind!r} of {self.status} {self.body[:100]!r}")
        return json.loads(self.body)

    def seen(self) -> dict[str, list[str]]:
        """The fields that the service saw."""
        equal(self.status, 200, f"the status ({self.body[:200]!r})")
        found: dict[str, list[str]] = {}
        for name, value in self.json()["headers"]:
            found.setdefault(name, []).append(value)
        return found


class Unix(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("unused", timeout=20)
        self.path = path

    def connect(self) -> None:
        """Connects to the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


class World:
    """A caller that is called back, a greeter that the proxy starts, and a stranger whom nobody lets in."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        self.ca = Ca(folder)
        self.port, self.stranger_port, self.program = free_port(), free_port(), free_port()
        greeter_in, caller_in, greeter_out, caller_program = (free_port() for _ in range(4))
        self.unix = folder / "outbound.sock"
        public = [{"from": ["caller"], "match": {"prefix": "/public/"}}]
        services = {
            "greeter": mesh.service([mesh.unary(ROUTE_DEADLINE)], [], greeter_in, policies=public),
            "caller": mesh.service([mesh.unary()], ["greeter"], caller_in),
        }
        asserts = {"asserts": {"caller": ["x-meshbase-project"]}}
        self.callee = greeter.Server(("127.0.0.1", caller_program), greeter.Handler)
        threading.Thread(target=self.callee.serve_forever, daemon=True).start()
        self.running: list[mesh.Sidecar] = []
        self.planned: list[tuple[str, dict[str, Any]]] = []
        listeners = [mesh.outbound(self.port), mesh.outbound(f"unix:{self.unix}")]
        self.services = services
        self.plan(
            "greeter", inbound=greeter_in, program=self.program, listeners=[mesh.outbound(greeter_out)],
            command=[sys.executable, greeter.__file__, str(self.program)], ready="http:/readyz",
            environment={"http_proxy": f"http://127.0.0.1:{greeter_out}", "no_proxy": ""}, more=asserts,
        )
        self.plan("caller", inbound=caller_in, program=caller_program, listeners=listeners, more=asserts)
        self.plan("stranger", listeners=[mesh.outbound(self.stranger_port)])

    def plan(self, name: str, **more: Any) -> None:
        """Adds a proxy to those that are started together."""
        self.planned.append((name, more))

    def __enter__(self) -> World:
        try:
            for name, more in self.planned:
                self.running.append(mesh.Sidecar(self.binary, self.folder, self.ca, name, self.services, **more))
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for one in reversed(self.running):
            one.stop()

    def ask(
        self, method: str, target: str, host: str = "greeter.mesh", *, port: int | None = None,
        headers: dict[str, str] | None = None, body: bytes | None = None, unix: bool = False,
    ) -> Answer:
        """Sends one request to an outbound listener."""
        to = port or self.port
        connection = Unix(self.unix) if unix else http.client.HTTPConnection("127.0.0.1", to, timeout=20)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"host": host, **(headers or {})}.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def served(self) -> int:
        """How many requests the greeter's program has seen."""
        return self.ask("GET", "/public/count").json()["requests"]
