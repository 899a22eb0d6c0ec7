"""Several origins in one process, of which the first is slow: python -m mesh_lib.origins DELAY_MS PORT…"""

import asyncio
import sys
from functools import partial

from .setting import BODY_BYTES

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES + b"x" * BODY_BYTES


class Origin(asyncio.Protocol):
    """Answers each request without a body after a delay."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            self.received = self.received.partition(b"\r\n\r\n")[2]
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.transport.write, ANSWER)
            else:
                self.transport.write(ANSWER)


async def serve(delay: float, ports: list[int]) -> None:
    """Serves until it is ended."""
    loop = asyncio.get_running_loop()
    for index, port in enumerate(ports):
        await loop.create_server(partial(Origin, 0.0 if index else delay), "127.0.0.1", port)
    await loop.create_future()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) / 1000, [int(port) for port in sys.argv[2:]]))
