"""What is asked of the contenders, and what it costs them."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from mesh_lib import wrk
from mesh_lib.report import Section, Target

from .contenders import Contender, Field
from .tokens import sign, user_id

RATE, OWN, POSTGRES, MEMORY = "requests/s", "own CPU µs", "PostgreSQL CPU µs", "anonymous MB"
COLUMNS = {RATE: ",.0f", "p50 ms": ".2f", "p99 ms": ".2f", OWN: ",.1f", POSTGRES: ",.1f", MEMORY: ".1f"}
USERS = 200
PGBENCH = "pgbench, pipelined"
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Scenario:
    """A kind of request: one for each user, by whom in which role."""

    title: str
    method: str
    path: Callable[[int], str]
    body: Callable[[int], str] | None = None
    role: str = "authenticated"
    # what pgbench runs of it
    ceiling: str | None = None
    pocketbase: str | None = None
    whole: bool = False


def _rows(user: int, count: int) -> str:
    rows = [{"user_id": user_id(user), "title": f"todo {number}"} for number in range(count)]
    return json.dumps(rows[0] if count == 1 else rows)


ALL = {
    "list": Scenario(
        "20 rows under row-level security",
        "GET",
        lambda _: "/todos?select=id,title,done&order=id&limit=20",
        ceiling="rls-list-pipelined.sql",
        pocketbase="/api/collections/todos/records?perPage=20&skipTotal=1&fields=id,title,done",
        whole=True,
    ),
    "point": Scenario(
        "One row by its key, under row-level security",
        "GET",
        lambda user: f"/todos?select=id,title,done&id=eq.{user + 1}",
        ceiling="point.sql",
        whole=True,
    ),
    "embed": Scenario(
        "A person with their todos",
        "GET",
        lambda user: f"/people?select=name,todos(id,title)&id=eq.{user_id(user)}&todos.order=id&todos.limit=20",
    ),
    "page": Scenario("1,000 rows", "GET", lambda _: "/todos?select=id,title,done&limit=1000", role="service"),
    "insert": Scenario("Insert of one row", "POST", lambda _: "/todos", lambda user: _rows(user, 1)),
    "bulk": Scenario("Insert of 1,000 rows", "POST", lambda _: "/todos", lambda user: _rows(user, 1000)),
}


def measure(name: str, field: Field) -> Section:
    """Rounds of one scenario: each contender in turn."""
    scenario = ALL[name]
    title = f"{scenario.title} ({field.given.connections} connections, closed loop)"
    section = Section(name, title, COLUMNS, control=(PGBENCH, RATE) if scenario.ceiling else None)
    loads = _loads(scenario, field)
    for contender, load in loads:
        wrk.run(contender.port, WARM_UP_SECONDS, field.given.connections, field.folder, load)
    for number in range(field.given.rounds):
        print(f"{name}: round {number + 1} of {field.given.rounds}", file=sys.stderr)
        if scenario.ceiling:
            section.add(PGBENCH, _ceiling(scenario.ceiling, field))
        for contender, load in loads:
            section.add(contender.name, _round(contender, load, field))
    if scenario.method == "POST":
        field.sql("delete from todos where id > 100000; vacuum todos")
    section.targets = _targets(name, section)
    return section


def _loads(scenario: Scenario, field: Field) -> list[tuple[Contender, str]]:
    contenders = [field.ours, field.whole if scenario.whole else None, field.postrust]
    loads = [(contender, _rest(scenario, contender)) for contender in contenders if contender]
    if scenario.pocketbase and field.pocketbase:
        contender, token = field.pocketbase
        loads.append((contender, _script([("GET", scenario.pocketbase, {"authorization": token}, None)])))
    return loads


def _rest(scenario: Scenario, contender: Contender) -> str:
    requests = []
    for user in range(USERS):
        claims = {"role": scenario.role, "sub": user_id(user), "exp": int(time.time()) + 86_400}
        headers = {"authorization": f"Bearer {sign(claims, contender.secret)}", **dict(contender.headers)}
        body = scenario.body(user) if scenario.body else None
        if body:
            headers |= {"content-type": "application/json", "prefer": "return=minimal"}
        requests.append((scenario.method, contender.prefix + scenario.path(user), headers, body))
    return _script(requests)


def _script(requests: list[tuple[str, str, dict[str, str], str | None]]) -> str:
    """A script for wrk: the requests in turn."""
    lines = ["local all = {}", "init = function(args)"]
    for method, path, headers, body in requests:
        table = ", ".join(f"[{json.dumps(key)}] = {json.dumps(value)}" for key, value in headers.items())
        lines.append(f"all[#all + 1] = wrk.format({json.dumps(method)}, {json.dumps(path)}, {{{table}}}, "
                     f"{json.dumps(body) if body else 'nil'})")
    lines += ["end", "local at = 0", "request = function() at = at % #all + 1 return all[at] end"]
    return "\n".join(lines) + "\n"


def _ceiling(script: str, field: Field) -> dict[str, float]:
    rate = 0.0

    def run() -> float:
        nonlocal rate
        rate, count = field.pgbench(script, field.given.seconds)
        return count

    count, cpu = field.costing(run)
    return {RATE: rate, POSTGRES: cpu / count * 1e6}


def _round(contender: Contender, load: str, field: Field) -> dict[str, float]:
    before = contender.cpu_seconds()
    taken: list[wrk.Load] = []

    def run() -> float:
        taken.append(wrk.run(contender.port, field.given.seconds, field.given.connections, field.folder, load))
        return taken[0].requests

    count, postgres = field.costing(run)
    figures = {
        RATE: count / taken[0].seconds,
        "p50 ms": taken[0].p50_ms,
        "p99 ms": taken[0].p99_ms,
        OWN: (contender.cpu_seconds() - before) / count * 1e6,
        MEMORY: contender.anonymous_mb(),
    }
    # the others have a database of their own
    return figures | ({POSTGRES: postgres / count * 1e6} if contender.name in ("meshbase data", "postrust") else {})


def _targets(name: str, section: Section) -> list[Target]:
    ours = "meshbase data"
    targets = []
    if name == "list":
        targets.append(Target("of pgbench's requests/s", 0.65, section.ratio(ours, PGBENCH, RATE), at_least=True))
        targets.append(Target("PocketBase's requests/s, times", 3, section.ratio(ours, "PocketBase", RATE), at_least=True))
    targets.append(Target("postrust's requests/s, times", 2, section.ratio(ours, "postrust", RATE), at_least=True))
    if name not in ("page", "bulk"):
        targets.append(Target("own CPU of a request, µs", 40, section.median(ours, OWN)))
    targets.append(Target("anonymous memory after the rounds, MB", 30, _last(section, ours)))
    return targets


def _last(section: Section, contender: str) -> float | None:
    values = section.figures.get(contender, {}).get(MEMORY)
    return values[-1] if values else None

