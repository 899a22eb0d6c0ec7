"""Connections that only rest: mutual TLS and HTTP/2's greeting, and then nothing."""

import asyncio
import ssl
import struct
from pathlib import Path

from .process import BenchError, Process

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
AT_ONCE = 32
REST_SECONDS = 1.0


class Resting(asyncio.Protocol):
    """A client of HTTP/2 (RFC 9113 §3.4) that never asks for anything."""

    def __init__(self) -> None:
        self.greeted = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(PREFACE + _frame(SETTINGS, 0, b""))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 9:
            length, kind, flags = int.from_bytes(self.buffer[:3]), self.buffer[3], self.buffer[4]
            if len(self.buffer) < 9 + length:
                return
            payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
            self._frame_received(kind, flags, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(BenchError(f"a resting connection was refused: {exc}"))

    def _frame_received(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.transport.write(_frame(SETTINGS, ACK, b""))
            if not self.greeted.done():
                self.greeted.set_result(None)
        elif kind == PING and not flags & ACK:
            self.transport.write(_frame(PING, ACK, payload))
        elif kind == GOAWAY:
            self.transport.close()


def peak_mb(process: Process, port: int, count: int, certificates: Path, name: str) -> float:
    """The most anonymous memory of `process`, in MB, while `count` connections come and rest for a second.

    Fails unless all of them live until the end.
    """
    try:
        return asyncio.run(_peak_mb(process, port, count, _context(certificates), name))
    except OSError as problem:
        raise BenchError(f"a resting connection was refused: {problem}") from problem


async def _peak_mb(process: Process, port: int, count: int, context: ssl.SSLContext, name: str) -> float:
    free, peak = asyncio.Semaphore(AT_ONCE), 0.0

    async def connect() -> Resting:
        loop = asyncio.get_running_loop()
        async with free:
            _, client = await loop.create_connection(
                Resting, "127.0.0.1", port, ssl=context, server_hostname=name
            )
            await asyncio.wait_for(client.greeted, 10)
            return client

    connecting = asyncio.gather(*(connect() for _ in range(count)))
    while not connecting.done():
        peak = max(peak, process.anonymous_mb())
        await asyncio.wait([connecting], timeout=0.05)
    clients = connecting.result()
    until = asyncio.get_running_loop().time() + REST_SECONDS
    while asyncio.get_running_loop().time() < until:
        peak = max(peak, process.anonymous_mb())
        await asyncio.sleep(0.05)
    lost = sum(client.transport.is_closing() for client in clients)
    for client in clients:
        client.transport.abort()
    if lost:
        raise BenchError(f"{lost} of {count} resting connections were closed")
    return peak


def _context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # a SPIFFE certificate names no host
    context.check_hostname = False
    context.load_verify_locations(certificates / "ca.pem")
    context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    context.set_alpn_protocols(["h2"])
    return context


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + bytes(4) + payload
