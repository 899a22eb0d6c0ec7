"""gRPC by the stock Python client and server through two proxies.

usage: grpc_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from concurrent import futures
from typing import Any, Callable, Iterable, Iterator

import grpc

import sidecar as mesh
from harness import Suite, check, equal, wait_for
from wired import Pair, arguments

suite = Suite("grpc")
SERVICE = "meshbase.test.Echo"
ROUTE_DEADLINE = 2.0
SIZE = 4 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", 2 * SIZE), ("grpc.max_send_message_length", 2 * SIZE)]
BINARY_VALUE = bytes(range(256))
Context = Any


class Server:
    """Echoes in all four ways, and tells what it saw."""

    def __init__(self, port: int) -> None:
        self.left: queue.Queue[float | None] = queue.Queue()
        self.gone: queue.Queue[str] = queue.Queue()
        self.metadata: list[tuple[str, str | bytes]] = []
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Slow": grpc.unary_unary_rpc_method_handler(self.slow),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }
        self.server = grpc.server(futures.ThreadPoolExecutor(128), options=OPTIONS)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def unary(self, message: bytes, context: Context) -> bytes:
        """Echo, with metadata before and after."""
        self.left.put(context.time_remaining())
        self.metadata = [(item.key, item.value) for item in context.invocation_metadata()]
        context.send_initial_metadata([("first-bin", BINARY_VALUE), ("first", "one")])
        context.set_trailing_metadata([("last-bin", BINARY_VALUE), ("last", "two")])
        return message

    def slow(self, message: bytes, context: Context) -> bytes:
        """Answers only after the caller has gone, or after ten seconds."""
        self.left.put(context.time_remaining())
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(10)
        self.gone.put(message.decode())
        return message

    def fail(self, message: bytes, context: Context) -> bytes:
        """Ends with the status that it is asked for and nothing else: trailers only."""
        context.set_trailing_metadata([("why-bin", b"\x00\xff")])
        context.abort(grpc.StatusCode[message.decode()], "as asked for: 100 % ünïcode")

    def many(self, message: bytes, context: Context) -> Iterator[bytes]:
        """So many messages."""
        context.add_callback(lambda: self.gone.put("many"))
        for number in range(int(message)):
            yield b"%d" % number
            if not context.is_active():
                return

    def sum(self, messages: Iterable[bytes], _context: Context) -> bytes:
        """The sum of all."""
        return b"%d" % sum(map(int, messages))

    def chat(self, messages: Iterable[bytes], context: Context) -> Iterator[bytes]:
        """Each message back as soon as it came."""
        context.add_callback(lambda: self.gone.put("chat"))
        yield from messages


class World:
    """A client's channel to a server behind two proxies."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.server = Server(pair.program)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{pair.port}", options=OPTIONS)

    def call(self, kind: str, method: str) -> Callable[..., Any]:
        """A method of the server, such as `unary_unary`."""
        return getattr(self.channel, kind)(f"/{SERVICE}/{method}")

    def unary(self, method: str, message: bytes, **more: Any) -> tuple[bytes, grpc.Call]:
        """Calls and waits, for at most ten seconds unless told otherwise."""
        return self.call("unary_unary", method).with_call(message, **{"timeout": 10, **more})

    def refused(self, method: str, message: bytes, **more: Any) -> grpc.RpcError:
        """Calls what must fail; how it failed."""
        try:
            self.unary(method, message, **more)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{method} did not fail")


@suite.test
def a_unary_call_is_answered(world: World) -> None:
    answer, call = world.unary("Unary", b"hello")
    equal(answer, b"hello", "the answer")
    equal(call.code(), grpc.StatusCode.OK, "the status")


@suite.test
def a_server_stream_arrives_whole_and_in_order(world: World) -> None:
    got = list(world.call("unary_stream", "Many")(b"1000", timeout=20))
    equal(got, [b"%d" % n for n in range(1000)], "the messages")


@suite.test
def a_client_stream_is_summed(world: World) -> None:
    answer = world.call("stream_unary", "Sum")((b"%d" % n for n in range(1000)), timeout=20)
    equal(answer, b"499500", "the sum")


@suite.test
def both_streams_go_on_at_once(world: World) -> None:
    outgoing: queue.Queue[bytes | None] = queue.Queue()
    incoming = world.call("stream_stream", "Chat")(iter(outgoing.get, None), timeout=20)
    for number in range(50):
        # the next message is only sent once the last one is back: nobody may collect
        outgoing.put(b"%d" % number)
        equal(next(incoming), b"%d" % number, "the echo")
    outgoing.put(None)
    equal(list(incoming), [], "messages after the end")


@suite.test
def the_server_sees_no_more_time_than_the_client_gave(world: World) -> None:
    world.server.left = queue.Queue()
    world.unary("Unary", b"", timeout=1)
    left = world.server.left.get(timeout=5)
    # clients round what they give up
    check(left is not None and 0 < left <= 1.05, f"{left} s left of 1 s")


@suite.test
def the_server_sees_no_more_time_than_the_route_gives(world: World) -> None:
    world.server.left = queue.Queue()
    world.unary("Unary", b"", timeout=60)
    left = world.server.left.get(timeout=5)
    check(left is not None and 0 < left <= ROUTE_DEADLINE, f"{left} s left of {ROUTE_DEADLINE} s")


@suite.test
def the_clients_deadline_ends_the_call_everywhere(world: World) -> None:
    world.server.gone = queue.Queue()
    begun = time.monotonic()
    error = world.refused("Slow", b"client", timeout=0.5)
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "the status")
    check(time.monotonic() - begun < 1.5, "the client waited longer than its deadline")
    equal(world.server.gone.get(timeout=5), "client", "the call that ended at the server")


@suite.test
def the_routes_deadline_is_a_grpc_status(world: World) -> None:
    world.server.gone = queue.Queue()
    begun = time.monotonic()
    error = world.refused("Slow", b"route", timeout=30)
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "the status")
    check(time.monotonic() - begun < ROUTE_DEADLINE + 2, "it took longer than the route's deadline")
    equal(world.server.gone.get(timeout=5), "route", "the call that ended at the server")


@suite.test
def cancelling_a_unary_call_reaches_the_server(world: World) -> None:
    world.server.gone, world.server.left = queue.Queue(), queue.Queue()
    call = world.call("unary_unary", "Slow").future(b"cancelled", timeout=30)
    world.server.left.get(timeout=5)
    begun = time.monotonic()
    call.cancel()
    equal(world.server.gone.get(timeout=5), "cancelled", "the call that ended at the server")
    check(time.monotonic() - begun < 1, "it took more than a second")


@suite.test
def cancelling_a_stream_reaches_the_server(world: World) -> None:
    world.server.gone = queue.Queue()
    forever = threading.Event()
    call = world.call("stream_stream", "Chat")(iter(lambda: forever.wait(30) or b"x", None), timeout=60)
    unread = world.call("unary_stream", "Many")(b"100000000", timeout=60)
    next(unread)
    call.cancel()
    unread.cancel()
    forever.set()
    ended = {world.server.gone.get(timeout=5), world.server.gone.get(timeout=5)}
    equal(ended, {"chat", "many"}, "what ended at the server")


@suite.test
def an_error_without_a_body_keeps_its_status_words_and_metadata(world: World) -> None:
    for code in ("NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"):
        error = world.refused("Fail", code.encode())
        equal(error.code(), grpc.StatusCode[code], "the status")
        equal(error.details(), "as asked for: 100 % ünïcode", "the words")
        equal(dict(error.trailing_metadata()).get("why-bin"), b"\x00\xff", "the trailing metadata")


@suite.test
def a_method_that_is_not_there_is_unimplemented(world: World) -> None:
    equal(world.refused("Nothing", b"").code(), grpc.StatusCode.UNIMPLEMENTED, "the status")


@suite.test
def binary_metadata_goes_both_ways(world: World) -> None:
    sent = [("some-bin", BINARY_VALUE), ("some-bin", b""), ("text", "a, b; c=d")]
    _, call = world.unary("Unary", b"", metadata=sent)
    seen = [item for item in world.server.metadata if item[0] in ("some-bin", "text")]
    equal(sorted(seen, key=str), sorted(sent, key=str), "what the server saw")
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    equal((first.get("first-bin"), first.get("first")), (BINARY_VALUE, "one"), "the initial metadata")
    equal((last.get("last-bin"), last.get("last")), (BINARY_VALUE, "two"), "the trailing metadata")


@suite.test
def the_server_knows_the_caller_and_no_one_else_says_so(world: World) -> None:
    world.unary("Unary", b"", metadata=[("x-meshbase-peer", "gateway"), ("x-meshbase-project", "shop")])
    seen = dict(world.server.metadata)
    equal(seen.get("x-meshbase-peer"), "client", "the peer")
    check("x-meshbase-project" not in seen, "an asserted project arrived")


@suite.test
def messages_of_four_mebibytes_go_both_ways(world: World) -> None:
    message = bytes(range(256)) * (SIZE // 256)
    answer, _ = world.unary("Unary", message)
    check(answer == message, f"{len(answer)} bytes came back")
    outgoing = [message] * 4
    got = list(world.call("stream_stream", "Chat")(iter(outgoing), timeout=30))
    check(got == outgoing, "the streamed messages came back different")


@suite.test
def a_hundred_streams_are_open_at_once(world: World) -> None:
    queues: list[queue.Queue[bytes | None]] = [queue.Queue() for _ in range(100)]
    calls = [world.call("stream_stream", "Chat")(iter(q.get, None), timeout=60) for q in queues]
    for number, (outgoing, call) in enumerate(zip(queues, calls)):
        outgoing.put(b"%d" % number)
        equal(next(call), b"%d" % number, f"the echo on stream {number}")
    for outgoing, call in zip(queues, calls):
        outgoing.put(None)
        equal(list(call), [], "messages after the end")


@suite.test
def a_dead_server_is_unavailable_and_comes_back(world: World) -> None:
    world.server.server.stop(None).wait(10)
    equal(world.refused("Unary", b"").code(), grpc.StatusCode.UNAVAILABLE, "the status")
    world.server = Server(world.pair.program)

    def answered() -> bool:
        try:
            return world.unary("Unary", b"again", timeout=2)[0] == b"again"
        except grpc.RpcError:
            return False

    wait_for(answered, "the new server's answer", 10)


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    streams = [mesh.stream(path=f"/{SERVICE}/{method}") for method in ("Many", "Sum", "Chat")]
    routes = [*streams, mesh.unary(int(ROUTE_DEADLINE * 1000))]
    with Pair(given.binary, routes, "http2") as pair:
        world = World(pair)
        try:
            return suite.run(world, given.only)
        finally:
            world.channel.close()
            world.server.server.stop(None).wait(10)


if __name__ == "__main__":
    sys.exit(main())
