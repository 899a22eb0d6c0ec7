"""WebSockets by the `websockets` package, and a bare upgrade, through two proxies.

usage: websocket_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import asyncio
import http
import os
import sys
import threading
import time
from typing import Any, Awaitable, Callable, Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

import sidecar as mesh
from bare import bare
from harness import Suite, check, equal
from wired import Pair, arguments

suite = Suite("websocket")
UNARY_DEADLINE = 0.6
IDLE = 2.5
LIFE = 8.0
FRAME = 1024 * 1024


class World:
    """A WebSocket server behind two proxies, on a loop of its own."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        # how connections ended, by their path
        self.closes: dict[str, tuple[int | None, str]] = {}
        self.peer = ""
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server: Server = self.run(self.begin())

    def run(self, work: Awaitable[Any]) -> Any:
        """Does something on the loop, for at most half a minute."""

        async def bounded() -> Any:
            return await asyncio.wait_for(work, 30)

        return asyncio.run_coroutine_threadsafe(bounded(), self.loop).result()

    async def begin(self) -> Server:
        """Serves WebSockets."""
        return await serve(
            self.echo,
            "127.0.0.1",
            self.pair.program,
            max_size=4 * FRAME,
            select_subprotocol=self.choose,
            process_request=self.before,
            ping_interval=None,
        )

    def choose(self, _connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        """The first protocol that is known; none is fine."""
        return next((one for one in offered if one in ("chat.v1", "chat.v2")), None)

    def make_room(self) -> None:
        """Gives the program's port to another server."""
        self.server.close()
        self.run(self.server.wait_closed())

    def before(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuses `/refused`; takes the peer's name of all others."""
        self.peer = request.headers.get("x-meshbase-peer", "")
        if request.path == "/refused":
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not here\n")
        return None

    async def echo(self, connection: ServerConnection) -> None:
        """Every message back; `close CODE REASON` closes."""
        try:
            async for message in connection:
                if isinstance(message, str) and message.startswith("close "):
                    code, reason = message.split(" ", 2)[1:]
                    await connection.close(int(code), reason)
                else:
                    await connection.send(message)
        except ConnectionClosed:
            pass
        assert connection.request
        self.closes[connection.request.path] = (connection.close_code, connection.close_reason or "")

    def session(self, work: Callable[[ClientConnection], Awaitable[None]], path: str = "/", **more: Any) -> None:
        """Connects through the proxies and does `work`."""

        async def go() -> None:
            url = f"ws://127.0.0.1:{self.pair.port}{path}"
            options = {"max_size": 4 * FRAME, "ping_interval": None, "proxy": None, **more}
            async with connect(url, **options) as connection:
                await work(connection)

        self.run(go())

    async def server_closed(self, path: str) -> tuple[int | None, str]:
        """How the connection with this path ended at the server."""
        for _ in range(500):
            if path in self.closes:
                return self.closes[path]
            await asyncio.sleep(0.01)
        raise TimeoutError("the server's side did not end in 5 s")


@suite.test
def messages_come_back(world: World) -> None:
    async def work(connection: ClientConnection) -> None:
        for message in ("hello", "", "ünïcode", b"\x00\xff", b""):
            await connection.send(message)
            equal(await connection.recv(), message, "the echo")

    world.session(work)
    equal(world.peer, "client", "the peer that the server sees")


@suite.test
def a_ping_is_answered_by_the_other_end(world: World) -> None:
    async def work(connection: ClientConnection) -> None:
        for payload in (b"", b"mark", b"x" * 125):
            await asyncio.wait_for(await connection.ping(payload), 5)

    world.session(work)


@suite.test
def the_clients_close_reaches_the_server(world: World) -> None:
    for code, reason in ((1000, ""), (1001, "going"), (4000, "our own"), (4999, "ünï")):
        path = f"/close-{code}"

        async def work(connection: ClientConnection) -> None:
            await connection.close(code, reason)
            equal(await world.server_closed(path), (code, reason), "what the server saw")

        world.session(work, path)


@suite.test
def the_servers_close_reaches_the_client(world: World) -> None:
    async def work(connection: ClientConnection) -> None:
        await connection.send("close 4321 enough")
        try:
            await connection.recv()
        except ConnectionClosed:
            pass
        equal((connection.close_code, connection.close_reason), (4321, "enough"), "what the client saw")

    world.session(work)


@suite.test
def frames_of_a_mebibyte_go_both_ways(world: World) -> None:
    payload = os.urandom(FRAME)

    async def work(connection: ClientConnection) -> None:
        for _ in range(8):
            await connection.send(payload)
            check(await connection.recv() == payload, "the frame came back different")
        # in fragments
        await connection.send([payload[:1000], payload[1000:70_000], payload[70_000:]])
        check(await connection.recv() == payload, "the fragments came back different")

    world.session(work)


@suite.test
def a_subprotocol_is_agreed_end_to_end(world: World) -> None:
    async def second(connection: ClientConnection) -> None:
        equal(connection.subprotocol, "chat.v1", "the protocol")

    async def none(connection: ClientConnection) -> None:
        equal(connection.subprotocol, None, "the protocol")

    world.session(second, subprotocols=["other", "chat.v1"])
    world.session(none, subprotocols=["other"])


@suite.test
def fifty_connections_live_at_once(world: World) -> None:
    async def go() -> None:
        url = f"ws://127.0.0.1:{world.pair.port}/"
        all_of_them = [await connect(url, ping_interval=None, proxy=None) for _ in range(50)]
        for number, connection in enumerate(all_of_them):
            await connection.send(str(number))
        for number, connection in enumerate(all_of_them):
            equal(await connection.recv(), str(number), f"the echo on connection {number}")
            await connection.close()

    world.run(go())


@suite.test
def a_silent_connection_outlives_the_deadline_of_unary_routes(world: World) -> None:
    async def work(connection: ClientConnection) -> None:
        await asyncio.sleep(3 * UNARY_DEADLINE)
        await connection.send("still there")
        equal(await connection.recv(), "still there", "the echo")

    world.session(work)


@suite.test
def a_connection_is_ended_when_it_is_idle_too_long(world: World) -> None:
    begun = time.monotonic()

    async def work(connection: ClientConnection) -> None:
        try:
            await connection.recv()
        except ConnectionClosedError:
            pass
        lived = time.monotonic() - begun
        check(IDLE - 0.5 <= lived <= IDLE + 3, f"it lived {lived:.1f} s with an idle time of {IDLE} s")

    world.session(work)


@suite.test
def a_busy_connection_is_ended_at_the_end_of_its_life(world: World) -> None:
    begun = time.monotonic()

    async def work(connection: ClientConnection) -> None:
        try:
            while time.monotonic() - begun < 2 * LIFE:
                await connection.send("busy")
                await connection.recv()
                await asyncio.sleep(0.2)
        except ConnectionClosed:
            pass
        lived = time.monotonic() - begun
        check(LIFE - 1 <= lived <= LIFE + 3, f"it lived {lived:.1f} s with a life of {LIFE} s")

    world.session(work)


@suite.test
def a_refusal_reaches_the_client_as_it_is(world: World) -> None:
    async def work(_connection: ClientConnection) -> None:
        raise AssertionError("it was not refused")

    try:
        world.session(work, "/refused")
    except InvalidStatus as refused:
        equal(refused.response.status_code, 403, "the status")
        equal(bytes(refused.response.body or b""), b"not here\n", "the body")


@suite.test
def a_route_that_is_no_upgrade_does_not_become_one(world: World) -> None:
    async def work(_connection: ClientConnection) -> None:
        raise AssertionError("a unary route became a tunnel")

    try:
        world.session(work, "/unary/")
    except InvalidStatus as refused:
        check(refused.response.status_code >= 400, f"the status is {refused.response.status_code}")


@suite.test
def finishing_one_direction_leaves_the_other_open(world: World) -> None:
    world.make_room()
    got = bare(world.pair, b"", b"bye")
    equal(got[:12], b"got 3 bytes;", "what came after the end of the other direction")
    equal(len(got), 12 + 200_000, "the bytes after the end of the other direction")


@suite.test
def bytes_sent_before_the_answer_101_arrive_after_it(world: World) -> None:
    world.make_room()
    equal(bare(world.pair, b"early", b"late")[:12], b"got 9 bytes;", "what the server read")


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    times = (int(seconds * 1000) for seconds in (5, IDLE, LIFE))
    unary = mesh.unary(int(UNARY_DEADLINE * 1000), path="/unary/")
    with Pair(given.binary, [unary, mesh.upgrade(*times)], "http1") as pair:
        return suite.run(World(pair), given.only)


if __name__ == "__main__":
    sys.exit(main())
