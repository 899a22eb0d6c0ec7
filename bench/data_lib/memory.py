"""How much memory a large request or answer takes at its peak, each in a process of its own."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from mesh_lib.report import Section, Target

from .contenders import Field
from .tokens import sign

PEAK = "peak anonymous MB"
CHUNK = 64 * 1024
MB = 1_000_000
TABLES = """
create table if not exists bodies(id bigint generated always as identity primary key, body json, title text);
create or replace function take(body json) returns int language sql as 'select 1';
grant all on bodies to service;
"""


def measure(field: Field) -> Section:
    """Each case once per round."""
    field.sql(TABLES)
    section = Section("memory", "Memory at the peak of one request", {PEAK: ".1f", "seconds": ".2f"})
    limits = {}
    for _ in range(field.given.rounds):
        for name, limit, act in _cases(field):
            limits[name] = limit
            section.add(name, _peak(field, act))
            field.sql("truncate bodies")
    section.targets = [Target(f"{name}, MB", limit, section.median(name, PEAK)) for name, limit in limits.items()]
    return section


def _cases(field: Field) -> Iterator[tuple[str, float, Callable[[int], None]]]:
    for size, limit in ((1, 22), (10, 32), (50, 78)):
        body = json.dumps({"body": {"text": "x" * (size * MB)}}).encode()
        yield f"insert of a JSON body of {size} MB", limit, lambda port, body=body: _send(port, "POST", "/bodies", body)
    rows = json.dumps([{"title": f"row {number}"} for number in range(100_000)]).encode()
    yield "insert of 100,000 rows", 40, lambda port: _send(port, "POST", "/bodies", rows)
    field.sql("create table if not exists million as select n as id, 'row number ' || n as title from "
              "generate_series(1, 1000000) n; grant select on million to service")
    for accept, name in (("application/x-ndjson", "NDJSON"), ("text/csv", "CSV")):
        yield f"{name} of 1,000,000 rows", 40, lambda port, accept=accept: _send(port, "GET", "/million", None, accept)


def _send(port: int, method: str, path: str, body: bytes | None, accept: str = "application/json") -> None:
    token = sign({"role": "service", "exp": int(time.time()) + 3600})
    headers = {"Authorization": f"Bearer {token}", "Accept": accept}
    if body:
        headers |= {"Content-Type": "application/json", "Prefer": "return=minimal"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    if response.status >= 300:
        raise SystemExit(f"{method} {path} answers {response.status}: {response.read(300)!r}")
    while response.read(CHUNK):
        pass


def _peak(field: Field, act: Callable[[int], None]) -> dict[str, float]:
    with ExitStack() as running:
        server = field.fresh(running)
        done, seen = threading.Event(), [server.anonymous_mb()]

        def watch() -> None:
            while not done.wait(0.002):
                seen.append(server.anonymous_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        try:
            act(server.port)
        finally:
            took = time.monotonic() - began
            done.set()
            watcher.join()
        return {PEAK: max(seen), "seconds": took}
