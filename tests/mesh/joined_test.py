"""A program in another language joins the mesh by YAML alone: identities, headers, policy, egress.

usage: joined_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import urllib.request

from harness import Folder, Suite, check, equal, wait_for
from joined import ROUTE_DEADLINE, World
from wired import arguments

suite = Suite("joined")


def own(seen: dict[str, list[str]]) -> dict[str, list[str]]:
    """The fields of the mesh's own."""
    return {name: value for name, value in seen.items() if name.startswith("x-meshbase-")}


@suite.test
def it_is_called_through_the_proxy_of_the_environment(world: World) -> None:
    proxy = urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{world.port}"})
    with urllib.request.build_opener(proxy).open("http://greeter.mesh/public/hello?a=b", timeout=20) as answer:
        seen = json.load(answer)
    equal((seen["method"], seen["path"]), ("GET", "/public/hello?a=b"), "what the service saw")
    host = [value for name, value in seen["headers"] if name == "host"]
    equal(host, ["greeter.mesh"], "the host that the service saw")


@suite.test
def it_is_called_by_its_host_on_the_outbound_port(world: World) -> None:
    equal(world.ask("GET", "/public/hello").seen()["host"], ["greeter.mesh"], "the host that the service saw")


@suite.test
def it_is_called_over_the_outbound_unix_socket(world: World) -> None:
    equal(own(world.ask("GET", "/public/hello", unix=True).seen())["x-meshbase-peer"], ["caller"], "the peer")


@suite.test
def it_calls_back_with_an_identity_of_its_own(world: World) -> None:
    answer = world.ask("GET", "/public/call?url=http://caller.mesh/hello").json()
    equal(answer["status"], 200, "the status of the call back")
    seen = dict(json.loads(answer["body"])["headers"])
    equal(seen.get("x-meshbase-peer"), "greeter", "the peer of the call back")


@suite.test
def what_the_caller_says_of_itself_is_not_believed(world: World) -> None:
    lies = ["x-meshbase-peer", "X-Meshbase-Peer", "x-meshbase-client-ip", "x-meshbase-origin", "x-meshbase-new"]
    for lie in lies:
        seen = own(world.ask("GET", "/public/hello", headers={lie: "gateway"}).seen())
        equal(seen.pop("x-meshbase-peer", None), ["caller"], f"the peer after {lie}")
        seen.pop("x-meshbase-deadline-ms", None)
        equal(seen, {}, f"what else of our own arrived after {lie}")


@suite.test
def what_the_caller_may_assert_arrives(world: World) -> None:
    seen = world.ask("GET", "/public/hello", headers={"x-meshbase-project": "shop"}).seen()
    equal(seen.get("x-meshbase-project"), ["shop"], "the project")


@suite.test
def the_deadline_is_the_smaller_of_route_and_caller(world: World) -> None:
    for given, most in (({}, ROUTE_DEADLINE), ({"x-meshbase-deadline-ms": "900"}, 900),
                        ({"x-meshbase-deadline-ms": "999999999"}, ROUTE_DEADLINE)):
        left = int(world.ask("GET", "/public/hello", headers=given).seen()["x-meshbase-deadline-ms"][0])
        check(0 < left <= most, f"{left} ms are left of {most} ms after {given}")
    begun = time.monotonic()
    late = world.ask("GET", "/public/hello?sleep=3", headers={"x-meshbase-deadline-ms": "300"})
    equal(late.status, 504, "the status after the deadline")
    check(time.monotonic() - begun < 2, "the answer came long after the deadline")


@suite.test
def ids_of_request_and_trace_go_on(world: World) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01", "tracestate": "a=b"}
    seen = world.ask("GET", "/public/hello", headers=given).seen()
    equal(seen.get("x-request-id"), ["mine-1"], "the request's id")
    equal(seen.get("traceparent", [""])[0].split("-")[1:2], [trace], "the trace's id")
    check(world.ask("GET", "/public/hello").seen().get("x-request-id"), "a request without an id got none")


@suite.test
def methods_statuses_and_bodies_pass(world: World) -> None:
    for size in (0, 1, 65_536, 65_537, 1 << 20):
        seen = world.ask("POST", "/public/body", body=b"x" * size).json()
        equal((seen["method"], seen["bytes"]), ("POST", size), "what the service saw")
    for status in (201, 404, 409, 418, 429, 500):
        equal(world.ask("GET", f"/public/hello?status={status}").status, status, "the status")
    head = world.ask("HEAD", "/public/hello")
    equal((head.status, head.body), (200, b""), "the answer to HEAD")


@suite.test
def a_body_that_is_broken_is_the_callers_fault(world: World) -> None:
    request = b"POST /public/body HTTP/1.1\r\nHost: greeter.mesh\r\nX-Request-Id: broken-1\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", world.port), 10) as stream:
        stream.sendall(request + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n")
        while got := stream.recv(65_536):
            answer += got
    caller = world.running[1].process.out
    line = wait_for(lambda: [one for one in caller.read_text().splitlines() if "broken-1" in one], "its line")[0]
    # an endpoint that is blamed for it is left out in the end
    check('"reset"' not in line, f"the endpoint is blamed: {line[-300:]}")
    check(answer.startswith(b"HTTP/1.1 400"), f"{answer[:100]!r}")


@suite.test
def a_host_that_nobody_knows_is_refused_in_clear_words(world: World) -> None:
    for target, host in (("/x", "nobody.mesh"), ("http://nobody.mesh/x", "nobody.mesh"), ("/x", "greeter")):
        answer = world.ask("GET", target, host)
        equal(answer.status, 403, f"the status for {host}")
        text = json.dumps(answer.json())
        check("not_allowed" in text or "not allowed" in text, f"the words: {text}")


@suite.test
def nothing_outside_is_called_unless_allowed(world: World) -> None:
    before = world.served()
    direct = f"127.0.0.1:{world.program}"
    for host in ("example.com", "example.com:443", direct, f"localhost:{world.program}", "169.254.169.254",
                 f"[::1]:{world.program}", "greeter.mesh.example.com", "greeter.mesh.", "2130706433"):
        for target in ("/public/x", f"http://{host}/public/x"):
            status = world.ask("GET", target, host).status
            # a final dot is the same name to some
            check(status == 403 or host.endswith("."), f"{status} for {target} at {host}")
    check(world.served() <= before + 3, "the program was called")


@suite.test
def a_tunnel_is_refused(world: World) -> None:
    for host in ("greeter.mesh:80", "example.com:443", f"127.0.0.1:{world.program}"):
        answer = world.ask("CONNECT", host, host)
        check(400 <= answer.status < 500 or answer.status == 501, f"{answer.status} for CONNECT {host}")


@suite.test
def whom_no_policy_lets_in_is_refused_before_the_program(world: World) -> None:
    before = world.served()
    equal(world.ask("GET", "/public/hello", port=world.stranger_port).status, 403, "the stranger's status")
    equal(world.ask("GET", "/", ).status, 403, "the status of a path that no policy allows")
    equal(world.ask("GET", "/publicity").status, 403, "the status of a path that only begins alike")
    equal(world.served(), before + 1, "the requests that the program saw")


@suite.test
def no_spelling_of_a_path_leads_around_policy(world: World) -> None:
    for path in ("/public/../admin", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2E%2E%2fadmin",
                 "/public/..;/admin", "/public/..%5cadmin", "/public/..\\admin", "//admin", "/./admin",
                 "/public//../admin", "/public/x/../../admin", "/public/%252e%252e/admin", "/public/%00/../../admin",
                 "/public/..%2f", "/admin/public/", "/%70ublic/../admin", "/public/..", "/public/%2e%2e"):
        answer = world.ask("GET", path)
        if answer.status != 200:
            check(answer.status in (400, 403, 404, 421), f"{answer.status} for {path}")
            continue
        seen = answer.json()["path"]
        parts = re.split(r"[/\\]|%2f|%5c", seen.replace("%2e", ".").replace("%2E", "."), flags=re.IGNORECASE)
        inside = seen.startswith("/public/") and not any(part.split(";")[0] == ".." for part in parts)
        check(inside, f"{path} reached the program as {seen}")


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    with Folder() as folder, World(given.binary, folder) as world:
        return suite.run(world, given.only)


if __name__ == "__main__":
    sys.exit(main())
