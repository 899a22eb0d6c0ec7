"""The client in front of the proxies: it sends bytes as they are and reads answers strictly."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Callable

import hpack

from corpus import frames
from parse import HEAD_END, STATUS, Header, Malformed, chunk_size, head_lines, headers_of, length_of, trailers_of


@dataclass
class Answer:
    """One answer, final or not."""

    status: int
    headers: list[Header]
    body: bytes = b""
    # whether it came to its end as it should
    whole: bool = False
    odd: list[str] = field(default_factory=list)

    def value(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def id(self) -> int | None:
        """The id that the origin gave the request; `None` for a proxy's own answer."""
        value = self.value(b"x-origin-id")
        return int(value) if value and value.isdigit() else None


def answers(data: bytes, methods: list[bytes], closed: bool) -> list[Answer]:
    """The answers in `data` to requests with these methods (`GET` beyond the list)."""
    found: list[Answer] = []
    final = 0
    while data:
        answer, data = _answer(data, methods[final] if final < len(methods) else b"GET", closed)
        if answer is None:
            break
        found.append(answer)
        if answer.status == 101 or not answer.whole:
            break
        final += answer.status >= 200
    return found


def _answer(data: bytes, method: bytes, closed: bool) -> tuple[Answer | None, bytes]:
    """The first answer and the bytes after it."""
    end = HEAD_END.search(data)
    if not end:
        return None, data
    odd: list[str] = []
    lines = head_lines(data[: end.end()], odd)
    line, rest = STATUS.fullmatch(lines[0]), data[end.end() :]
    if not line:
        return Answer(0, [], odd=[*odd, f"a status line {lines[0][:60]!r}"]), b""
    answer = Answer(int(line[1]), headers_of(lines[1:], odd), odd=odd)
    if answer.status == 101:
        answer.body, answer.whole = rest, True
        return answer, b""
    try:
        length = length_of(answer.headers, b"1.1", odd)
        names = [name for name, _ in answer.headers]
        if method == b"HEAD" or answer.status < 200 or answer.status in (204, 304):
            answer.whole = True
        elif length is None:
            rest = _chunks(answer, rest)
        elif b"content-length" not in names:
            answer.body, answer.whole, rest = rest, closed, b""
        else:
            answer.body, answer.whole, rest = rest[:length], len(rest) >= length, rest[length:]
    except Malformed as malformed:
        odd.append(str(malformed))
    return answer, rest


def _chunks(answer: Answer, rest: bytes) -> bytes:
    """Reads chunks as far as they are there; returns the bytes after them."""
    while b"\n" in rest:
        end = rest.index(b"\n") + 1
        size = chunk_size(rest[:end], answer.odd)
        if size == 0:
            rest = rest[end:]
            break
        if len(rest) < end + size + 2:
            return b""
        answer.body += rest[end : end + size]
        rest = rest[end + size + 2 :]
    else:
        return b""
    lines = []
    while b"\n" in rest:
        line, rest = rest[: rest.index(b"\n") + 1], rest[rest.index(b"\n") + 1 :]
        if line in (b"\r\n", b"\n"):
            answer.whole = True
            trailers_of(lines, answer.odd)
            return rest
        lines += head_lines(line, answer.odd)[:1]
    return b""


@dataclass(frozen=True)
class Door:
    """Where to connect, and how."""

    port: int
    tls: ssl.SSLContext | None = None
    sni: str | None = None

    async def open(self) -> Client:
        """A connection."""
        context = {"ssl": self.tls, "server_hostname": self.sni} if self.tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24, **context)
        return Client(reader, writer)


class Client:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.data = b""
        self.closed = False
        self._changed = asyncio.Event()
        self._writer = writer
        self._task = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while got := await reader.read(65_536):
                self.data += got
                self._changed.set()
        except (OSError, ssl.SSLError):
            pass
        self.closed = True
        self._changed.set()

    async def send(self, data: bytes, parts: int = 1) -> None:
        """Sends bytes in so many writes that a peer can tell apart. A closed connection swallows them."""
        size = max(1, -(-len(data) // parts))
        try:
            for at in range(0, len(data), size):
                if at:
                    await asyncio.sleep(0.01)
                self._writer.write(data[at : at + size])
                await asyncio.wait_for(self._writer.drain(), 5)
        except (OSError, asyncio.TimeoutError, RuntimeError):
            pass

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits until `condition` holds after something arrived, or the connection is closed, or time is up."""
        end = asyncio.get_running_loop().time() + seconds
        while not condition() and not self.closed:
            self._changed.clear()
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                break
        return condition()

    async def close(self) -> None:
        """Lets go of the connection."""
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Http2:
    """What a peer said on an HTTP/2 connection, read from its bytes."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.reset: set[int] = set()
        self.goaway = False
        self.odd: list[str] = []
        self._decoder = hpack.Decoder()
        self._block = b""
        self._read = 0

    def feed(self, data: bytes) -> bytes:
        """Reads what is new in all that arrived; returns what has to be sent back."""
        back = b""
        while len(data) - self._read >= 9:
            at = self._read
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
            if data[at : at + 5] == b"HTTP/":
                self.goaway = True
                break
            if len(data) - at < 9 + size:
                break
            self._read += 9 + size
            back += self._frame(kind, flags, stream, data[at + 9 : at + 9 + size])
        return back

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        answer = self.answers.setdefault(stream, Answer(0, [])) if kind in (0, 1, 9) else None
        if kind in (frames.HEADERS, frames.CONTINUATION) and answer is not None:
            self._block += payload[5:] if kind == frames.HEADERS and flags & 0x20 else payload
            if flags & frames.END_HEADERS:
                fields = self._decoder.decode(self._block, raw=True)
                self._block = b""
                status = next((int(value) for name, value in fields if name == b":status"), answer.status)
                if status != answer.status and status >= 200:
                    answer.status = status
                answer.headers += [(bytes(name), bytes(value)) for name, value in fields]
        if kind == frames.DATA and answer is not None:
            answer.body += payload
        if kind in (frames.DATA, frames.HEADERS) and answer is not None and flags & frames.END_STREAM:
            answer.whole = True
        if kind == frames.RST_STREAM:
            self.reset.add(stream)
        if kind == frames.GOAWAY:
            self.goaway = True
        if kind == frames.SETTINGS and not flags & frames.ACK:
            return frames.frame(frames.SETTINGS, frames.ACK, 0)
        if kind == frames.PING and not flags & frames.ACK:
            return frames.frame(frames.PING, frames.ACK, 0, payload)
        return b""
