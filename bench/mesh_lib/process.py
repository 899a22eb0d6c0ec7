"""Processes that are measured: started, waited for, read from /proc, and stopped by their own id."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# below the ports that the kernel gives to outgoing connections: nobody's client takes one meanwhile
LISTENING_PORTS = range(20_000, 32_000)


class BenchError(Exception):
    """Something could not be measured; says what."""


class Process:
    """One process of a contender, with everything that it starts."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.log, self.name = log, Path(command[0]).name
        with log.open("wb") as output:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | (environment or {}),
            )

    def cpu_seconds(self) -> float:
        """User and system time so far, of its children too."""
        return sum(_ticks(pid) for pid in self._pids()) / TICKS_PER_SECOND

    def own_cpu_seconds(self) -> float:
        """The same without its children."""
        return _ticks(self.child.pid, of_children=False) / TICKS_PER_SECOND

    def own_anonymous_mb(self) -> float:
        """Memory that no file backs, without its children's."""
        return _anonymous_kb(self.child.pid) * 1024 / 1e6

    def anonymous_mb(self) -> float:
        """Memory that no file backs, in megabytes of 10⁶ bytes."""
        return sum(_anonymous_kb(pid) for pid in self._pids()) * 1024 / 1e6

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Returns when `ready` says so; fails if the process ends before or `seconds` pass."""
        until = time.monotonic() + seconds
        while not ready():
            if self.child.poll() is not None:
                raise BenchError(f"{what}: ended with {self.child.returncode}: {self._last_words()}")
            if time.monotonic() > until:
                raise BenchError(f"{what}: not ready after {seconds:.0f} s: {self._last_words()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Asks it to end, and ends it if it does not within ten seconds."""
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def _pids(self) -> list[int]:
        """Its own id and those of its descendants, such as the workers of a master."""
        if self.child.poll() is not None:
            raise BenchError(f"{self.name} ended with {self.child.returncode}: {self._last_words()}")
        parents = {pid: _parent(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        found = [self.child.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-600:].strip() or "it said nothing"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    for port in random.sample(LISTENING_PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free port")


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; none if it ended meanwhile."""
    try:
        # the second field is a name in parentheses that may hold spaces
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _ticks(pid: int, of_children: bool = True) -> int:
    """User and system time, with that of children that ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11 : 15 if of_children else 13])) if fields else 0


def _anonymous_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise BenchError(f"no RssAnon in /proc/{pid}/status")
