"""The program behind the proxies: it logs every byte, gives each request an id, and names what is odd about it.

It reads on after what is odd as a careless server would, so that a smuggled request comes out as one.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from corpus.case import Reply
from parse import (
    HEAD_END,
    Header,
    Malformed,
    chunk_size,
    head_lines,
    headers_of,
    length_of,
    request_line,
    trailers_of,
)

MOST = 64 * 1024 * 1024


@dataclass
class Seen:
    """One request as the origin understood it."""

    id: int
    connection: int
    method: bytes = b""
    target: bytes = b""
    headers: list[Header] = field(default_factory=list)
    body: int = 0
    complete: bool = False
    odd: list[str] = field(default_factory=list)
    raw: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for found, value in self.headers if found == name]


class Bytes:
    """What arrives on one connection."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader
        self.data = b""
        self.log = b""

    async def more(self) -> None:
        """Waits for more; raises `EOFError` at the end."""
        got = await self.reader.read(65_536)
        if not got or len(self.log) > MOST:
            raise EOFError
        self.data += got
        self.log += got

    async def until(self, pattern: re.Pattern[bytes]) -> bytes:
        """Takes everything up to and with the first match."""
        while not (found := pattern.search(self.data)):
            await self.more()
        return self.take(found.end())

    async def exactly(self, count: int) -> bytes:
        """Takes so many bytes."""
        while len(self.data) < count:
            await self.more()
        return self.take(count)

    def take(self, count: int) -> bytes:
        """Takes so many of the bytes that are there."""
        taken, self.data = self.data[:count], self.data[count:]
        return taken


class Origin:
    """A server on a port of loopback."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: dict[bytes, Reply] = {}
        # requests whose answer is out, by target
        self.answered: list[bytes] = []
        self.changed = asyncio.Event()
        self.port = 0
        self._connections = 0
        self._server: asyncio.Server | None = None

    @classmethod
    async def listen(cls, port: int) -> Origin:
        """An origin on this port."""
        origin = cls()
        origin._server = await asyncio.start_server(origin._serve, "127.0.0.1", port)
        origin.port = port
        return origin

    def forget(self) -> None:
        """Begins a new case. Ids go on."""
        self.seen.clear()
        self.answered.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        stream, number = Bytes(reader), self._connections
        try:
            while await self._exchange(stream, writer, number):
                pass
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, stream: Bytes, writer: asyncio.StreamWriter, number: int) -> bool:
        """One request and its answer; whether the connection goes on."""
        if not stream.data:
            await stream.more()
        begun = len(stream.log) - len(stream.data)
        seen = Seen(next_id(), number)
        self.seen.append(seen)
        try:
            length = await self._head(stream, seen)
            reply = self.replies.get(seen.target)
            early = seen.target == b"/early" or (reply is not None and reply.early)
            if early:
                await self._answer(writer, seen, reply)
            elif (b"expect", b"100-continue") in [(n, v.lower()) for n, v in seen.headers] and length != 0:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._body(stream, seen, length)
            seen.complete = True
        except Malformed:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        finally:
            seen.raw = stream.log[begun : len(stream.log) - len(stream.data)]
            self.changed.set()
        if not early:
            await self._answer(writer, seen, reply)
        closes = b"close" in [value.lower() for value in seen.values(b"connection")]
        return not closes and not (reply and reply.close)

    async def _head(self, stream: Bytes, seen: Seen) -> int | None:
        lines = head_lines(await stream.until(HEAD_END), seen.odd)
        seen.headers = headers_of(lines[1:], seen.odd)
        seen.method, seen.target, version = request_line(lines[0], seen.headers, seen.odd)
        return length_of(seen.headers, version, seen.odd)

    async def _body(self, stream: Bytes, seen: Seen, length: int | None) -> None:
        if length is not None:
            seen.body = len(await stream.exactly(length))
            return
        line = re.compile(rb"\n")
        while size := chunk_size(await stream.until(line), seen.odd):
            seen.body += len(await stream.exactly(size))
            end = await stream.exactly(2)
            if end != b"\r\n":
                seen.odd.append(f"{end!r} after a chunk")
                raise Malformed("a chunk without its end")
        lines = []
        while (found := await stream.until(line)) not in (b"\r\n", b"\n"):
            lines += head_lines(found, seen.odd)[:1]
        seen.headers += trailers_of(lines, seen.odd)

    async def _answer(self, writer: asyncio.StreamWriter, seen: Seen, reply: Reply | None) -> None:
        pieces = reply.pieces if reply else (self._plain(seen),)
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
                continue
            writer.write(piece.replace(b"@ID@", b"%d" % seen.id))
            await writer.drain()
        self.answered.append(seen.target)
        self.changed.set()

    def _plain(self, seen: Seen) -> bytes:
        """What it answers to what it knows nothing else about. A tunnel it refuses."""
        status = b"405 Method Not Allowed" if seen.method == b"CONNECT" else b"200 OK"
        body = b"" if seen.method == b"HEAD" else b"%d bytes" % seen.body
        path = re.sub(rb"[^!-~]", b"?", seen.target)[:200]
        head = b"HTTP/1.1 %s\r\nX-Origin-Id: %d\r\nX-Origin-Path: %s\r\nContent-Length: %d\r\n\r\n"
        return head % (status, seen.id, path, len(body)) + body


_ids = iter(range(1, 1 << 60))


def next_id() -> int:
    """Ids are unique over all origins of this process."""
    return next(_ids)
