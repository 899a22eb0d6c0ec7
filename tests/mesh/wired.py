"""Two programs and their proxies: client, outbound side, mutual TLS, inbound side, server."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import TracebackType
from typing import Any

import sidecar as mesh
from certs import Ca
from harness import BINARY, Folder, free_port


class Pair:
    """A caller's proxy with one listener for the service, and the service's proxy before a program on `program`."""

    def __init__(self, binary: Path, routes: list[dict[str, Any]], protocol: str, name: str = "served") -> None:
        self.binary, self.routes, self.protocol, self.name = binary, routes, protocol, name
        self.program = free_port()
        self.inbound = free_port()
        self.port = free_port()
        self._folder = Folder()
        self.folder = self._folder.path
        self.running: list[mesh.Sidecar] = []

    def __enter__(self) -> Pair:
        ca = Ca(self.folder)
        services = {self.name: mesh.service(self.routes, ["client"], self.inbound, protocol=self.protocol)}
        listener = mesh.outbound(self.port, self.protocol, self.name)
        try:
            served = {"inbound": self.inbound, "program": self.program}
            self.server = mesh.Sidecar(self.binary, self.folder, ca, self.name, services, **served)
            self.running.append(self.server)
            self.client = mesh.Sidecar(self.binary, self.folder, ca, "client", services, listeners=[listener])
            self.running.append(self.client)
        except Exception:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        for one in reversed(self.running):
            one.stop()
        self._folder.__exit__()


def arguments(description: str | None) -> argparse.Namespace:
    """The command line that all suites have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--binary", type=Path, default=BINARY)
    parser.add_argument("--only", default="", help="run the tests whose name holds this")
    return parser.parse_args()
