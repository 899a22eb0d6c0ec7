"""An open loop: requests leave at a fixed rate, whatever becomes of earlier ones.

Latency counts from the moment that a request was meant to leave, so all that a stall held up pay for it.
"""

import ctypes
import gc
import math
import select
import socket
import time
from collections import deque
from contextlib import ExitStack

from .process import BenchError

PR_SET_TIMERSLACK = 29
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


class Connection:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.intended_ns = 0
        self.received = b""

    def fileno(self) -> int:
        """For `select`."""
        return self.socket.fileno()

    def send(self, intended_ns: int) -> None:
        """Sends a request that was meant to leave at `intended_ns`."""
        self.intended_ns, self.received = intended_ns, b""
        self.socket.sendall(REQUEST)

    def receive(self) -> bool:
        """Takes what arrived; whether the answer is whole. Fails on any status but 200."""
        arrived = self.socket.recv(65_536)
        self.received += arrived
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not arrived or (found and not head.startswith(b"HTTP/1.1 200 ")):
            raise BenchError(f"an answer at a fixed rate is {self.received[:200]!r}")
        return bool(found) and len(body) >= _length(head)


def latencies_ms(port: int, rate: float, seconds: float, connections: int, warm_up: float) -> list[float]:
    """All latencies at `rate` requests per second, smallest first, without those of the warm-up."""
    # the kernel may otherwise wake us 50 µs late, half of what is measured
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    gc.disable()
    try:
        with ExitStack() as open_sockets:
            pool = [Connection(port) for _ in range(connections)]
            for connection in pool:
                open_sockets.enter_context(connection.socket)
            return _drive(pool, rate, seconds, warm_up)
    except OSError as problem:
        raise BenchError(f"a connection at a fixed rate broke: {problem}") from problem
    finally:
        gc.enable()


def quantile(ordered: list[float], part: float) -> float:
    """The smallest of `ordered` that at least this part of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _drive(pool: list[Connection], rate: float, seconds: float, warm_up: float) -> list[float]:
    idle, busy, waiting = deque(pool), set[Connection](), deque[int]()
    start = time.perf_counter_ns()
    count, interval = round((warm_up + seconds) * rate), 1e9 / rate
    counted_from = start + int(warm_up * 1e9)
    sent, measured = 0, list[float]()
    while sent < count or busy or waiting:
        now = time.perf_counter_ns()
        while sent < count and start + int(sent * interval) <= now:
            waiting.append(start + int(sent * interval))
            sent += 1
        while waiting and idle:
            connection = idle.popleft()
            connection.send(waiting.popleft())
            busy.add(connection)
        # `select` waits in microseconds, `epoll` only in milliseconds
        due = (start + sent * interval - time.perf_counter_ns()) / 1e9 if sent < count else 5.0
        ready = select.select(busy, (), (), max(0.0, due))[0]
        arrived = time.perf_counter_ns()
        if not ready and sent == count:
            raise BenchError(f"{len(busy)} requests at a fixed rate were never answered")
        for connection in ready:
            if connection.receive():
                busy.remove(connection)
                idle.append(connection)
                if connection.intended_ns >= counted_from:
                    measured.append((arrived - connection.intended_ns) / 1e6)
    return sorted(measured)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise BenchError(f"an answer at a fixed rate has no length: {head[:200]!r}")
