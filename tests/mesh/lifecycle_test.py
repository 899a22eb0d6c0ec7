"""A proxy's file, start, log, metrics and end, beside a program that it starts.

usage: lifecycle_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

import sidecar as mesh
from harness import Folder, Process, Suite, check, equal, free_port, wait_for
from joined import World
from wired import arguments

suite = Suite("lifecycle")


@suite.test
def each_request_is_a_line_of_json(world: World) -> None:
    world.ask("GET", "/public/hello?secret=hunter2", headers={"x-request-id": "logged-1"})
    caller = world.running[1].process.out

    def logged() -> list[str]:
        return [line for line in caller.read_text().splitlines() if "logged-1" in line]

    line = wait_for(logged, "the line of the request")[0]
    json.loads(line)
    check("200" in line and "greeter" in line, f"the line {line[:200]}")
    check("hunter2" not in line, "the query is in the log")


@suite.test
def metrics_name_both_ends(world: World) -> None:
    world.ask("GET", "/public/hello")
    with mesh.DIRECT.open(f"http://127.0.0.1:{world.running[1].metrics}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if '"greeter"' in line and '"caller"' in line]
    check(lines, f"no line with both ends in {len(text)} bytes of metrics")


def run(world: World, config: dict[str, Any] | str, *command: str, name: str) -> Process:
    """Starts a proxy that may end by itself."""
    file = world.folder / f"{name}.yaml"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return Process(name, [str(world.binary), "sidecar", "--config", str(file), *command], world.folder)


def alone(world: World) -> dict[str, Any]:
    """The configuration of the stranger's proxy, with ports of its own."""
    config = json.loads(world.running[2].config.read_text())
    config["sidecar"]["probes"] = f"127.0.0.1:{free_port()}"
    config["sidecar"]["metrics"] = f"127.0.0.1:{free_port()}"
    config["sidecar"]["admin"] = str(world.folder / f"admin-{free_port()}.sock")
    config["sidecar"]["workloads"][0]["outbound"] = [mesh.outbound(free_port())]
    return config


@suite.test
def a_mistake_in_the_file_is_named_and_nothing_starts(world: World) -> None:
    for number, (broken, word) in enumerate([
        ({**alone(world), "sidecr": {}}, "sidecr"),
        ({**alone(world), "services": {"a": {"routes": [{"kind": "unary"}]}}}, "deadline_ms"),
        ("trust_domain: [", ""),
    ]):
        process = run(world, broken, "--", "true", name=f"broken-{number}")
        try:
            check(process.ended() != 0, "it ended well")
            check(word in process.said(), f"{word} is not in {process.said()[-300:]!r}")
        finally:
            process.stop()


@suite.test
def the_programs_exit_code_is_the_proxys(world: World) -> None:
    for code in (0, 7):
        process = run(world, alone(world), "--", "sh", "-c", f"exit {code}", name=f"ends-{code}")
        try:
            equal(process.ended(), code, "the exit code")
        finally:
            process.stop()


@suite.test
def sigterm_finishes_what_is_in_flight_and_ends_the_program(world: World) -> None:
    answers: list[int] = []
    before = world.served()
    asking = threading.Thread(target=lambda: answers.append(world.ask("GET", "/public/hello?sleep=1.5").status))
    asking.start()
    count = f"http://127.0.0.1:{world.program}/public/count"

    def arrived() -> bool:
        # asked directly: these requests count too
        arrived.asked += 1  # type: ignore[attr-defined]
        with mesh.DIRECT.open(count, timeout=5) as answer:
            return json.load(answer)["requests"] - before > arrived.asked  # type: ignore[attr-defined]

    arrived.asked = 0  # type: ignore[attr-defined]
    wait_for(arrived, "the request to arrive")
    proxy = world.running[0].process
    os.kill(proxy.popen.pid, signal.SIGTERM)
    code = proxy.ended(20)
    asking.join(20)
    equal(answers, [200], "the answer to the request in flight")
    equal(code, 0, "the exit code")
    check("the program ended as it was asked to" in proxy.said(), "the program was not asked to end")


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    with Folder() as folder, World(given.binary, folder) as world:
        return suite.run(world, given.only)


if __name__ == "__main__":
    sys.exit(main())
