"""What every experiment is given, and the contenders that it starts."""

import http.client
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .process import BenchError, Process, free_port

BODY_BYTES = 1024


@dataclass(frozen=True)
class Setting:
    """The programs, the peers' configurations, a folder of our own, and how much is measured."""

    binary: Path | None
    envoy: Path
    peers: Path
    folder: Path
    rounds: int
    seconds: float
    connections: int
    running: ExitStack

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Process:
        """Starts a process that ends with the experiment."""
        process = Process(command, self.folder / f"{name}-{free_port()}.log", environment)
        self.running.callback(process.stop)
        return process

    def fill(self, template: str, **values: object) -> Path:
        """A peer's configuration with every `@NAME@` replaced, as a file of its own folder."""
        text = (self.peers / template).read_text()
        folder = self.folder / f"{Path(template).stem}-{free_port()}"
        folder.mkdir()
        for name, value in {"DIR": folder, **values}.items():
            text = text.replace(f"@{name}@", str(value))
        path = folder / template
        path.write_text(text)
        return path

    def certificates(self) -> Path:
        """A folder with `ca.pem` and the leafs of spiffe://bench/client and spiffe://bench/server."""
        folder = self.folder / "certificates"
        if not folder.exists():
            subprocess.run(["bash", str(self.peers / "certs.sh"), str(folder)], check=True)
        return folder


@dataclass(frozen=True)
class Contender:
    """Something that carries requests from a port to the origin, with the processes that this costs."""

    name: str
    port: int
    processes: tuple[Process, ...]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(process.cpu_seconds() for process in self.processes)

    def check(self) -> None:
        """Fails unless a request through it gets the origin's whole answer."""
        status, body = get(self.port, "/")
        if (status, len(body)) != (200, BODY_BYTES):
            raise BenchError(f"{self.name} answers {status} with {len(body)} bytes: {body[:200]!r}")


def get(port: int, path: str) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as problem:
        return 0, str(problem).encode()
    finally:
        connection.close()
