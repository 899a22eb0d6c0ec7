"""What every suite needs: one line per test, free ports, waits on conditions, processes that are stopped by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Callable, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = ROOT / "target/debug/meshbase"
LONGEST_WAIT = 15.0

T = TypeVar("T")
_given_out: set[int] = set()


class Suite:
    """Tests in the order of their definition; each is a function that raises when something is not as it should be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tests: list[Callable[[Any], None]] = []

    def test(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Registers a test; its name in the output is the function's, in words."""
        self.tests.append(function)
        return function

    def run(self, world: Any, only: str = "") -> int:
        """Runs every test whose name holds `only` against `world`; returns the exit code."""
        chosen = [test for test in self.tests if only in test.__name__]
        failed = 0
        for test in chosen:
            words = test.__name__.replace("_", " ")
            try:
                test(world)
                print(f"ok    {self.name}: {words}", flush=True)
            except Exception as error:
                failed += 1
                at = traceback.extract_tb(error.__traceback__)[-1]
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
                print(f"FAIL  {self.name}: {words} ({reason}, {Path(at.filename).name}:{at.lineno})", flush=True)
        print(f"{self.name}: {len(chosen) - failed} of {len(chosen)} passed", flush=True)
        return 1 if failed or not chosen else 0


def check(condition: object, message: str) -> None:
    """Fails the test with `message` unless `condition` holds; works under `python -O` too."""
    if not condition:
        raise AssertionError(message)


def equal(actual: object, expected: object, what: str) -> None:
    """Fails the test unless both are equal."""
    check(actual == expected, f"{what}: {short(actual)} instead of {short(expected)}")


def short(value: object) -> str:
    """A value that fits on the line of a test."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


def free_port() -> int:
    """A port of loopback that nobody listens on, and that this process gives out once."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_out:
            _given_out.add(port)
            return port


def wait_for(condition: Callable[[], T], what: str, seconds: float = LONGEST_WAIT) -> T:
    """Asks again until `condition` gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.01)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Folder:
    """A folder that goes when the suite ends, and that a server's own user can enter."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="meshbase-mesh-"))
        self.path.chmod(0o755)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Process:
    """A program with its output in files, stopped by its pid."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.err"
        self.out = folder / f"{name}.out"
        with open(self.log, "ab") as err, open(self.out, "ab") as out:
            env = {**os.environ, **(environment or {})}
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, start_new_session=True
            )

    def said(self) -> str:
        """Everything on its standard output and standard error."""
        return self.out.read_text(errors="replace") + self.log.read_text(errors="replace")

    def await_true(self, condition: Callable[[], T], what: str, seconds: float = LONGEST_WAIT) -> T:
        """Waits for a condition, and says what the program said if it ends before."""

        def alive() -> T:
            met = condition()
            if not met and self.popen.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.popen.returncode}: {self.said()[-1500:]}")
            return met

        return wait_for(alive, f"{self.name}: {what}", seconds)

    def signal(self, number: int) -> None:
        """Sends a signal to the program alone."""
        if self.popen.poll() is None:
            os.kill(self.popen.pid, number)

    def ended(self, seconds: float = LONGEST_WAIT) -> int:
        """Waits for its end; its exit code."""
        return self.popen.wait(seconds)

    def stop(self, seconds: float = LONGEST_WAIT) -> int:
        """Asks it to end and, if it does not, ends it. Whatever it started goes with it."""
        self.signal(signal.SIGTERM)
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            print(f"      {self.name} did not end on SIGTERM", file=sys.stderr)
            code = -1
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()
        return code
