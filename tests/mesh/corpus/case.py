"""One thing to send, or to answer, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = b"Host: origin.mesh\r\n"
# a whole request that hides in the body of another one; the origin must never see it without the proxy's mark
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: origin.mesh\r\n\r\n"

ACCEPT = "accept"
REJECT = "reject"
SAFE = "safe"


@dataclass(frozen=True)
class Case:
    """Bytes for one connection.

    `expect` is `accept` (legitimate: it must reach the origin), `reject` (a specification demands a refusal) or `safe`
    (refused, or forwarded in a form that has one reading).
    """

    name: str
    data: bytes
    expect: str = SAFE
    # final answers that a server gives if it takes everything
    responses: int = 1
    # whether a refusal must end the connection because nobody knows where the next request begins
    framing: bool = True
    # the connection must not be used again even if the request is taken (RFC 9112 §6.1)
    must_close: bool = False
    # what the origin must not be sent, in lower case
    forbid: tuple[bytes, ...] = ()
    # headers that only our own proxies know to be theirs
    ours_forbid: tuple[bytes, ...] = ()

    @property
    def methods(self) -> list[bytes]:
        """The methods of the requests in it, as far as answers depend on them."""
        return [b"HEAD"] * self.data.count(b"HEAD ") + [self.data.split(b" ")[0]]


@dataclass(frozen=True)
class Reply:
    """What an origin sends back for one request: bytes, pauses in seconds, and whether it then closes.

    `@ID@` stands for the id of the request. `verdict` says what is wrong with the answer that the client got.
    """

    name: str
    pieces: tuple[bytes | float, ...]
    close: bool = False
    method: bytes = b"GET"
    headers: bytes = b""
    body: bytes = b""
    # whether it answers before it has read the request's body
    early: bool = False
    # the statuses that may come of it; none for any
    statuses: tuple[int, ...] = ()
    # whether the client may take the answer for a whole one
    whole: bool = True
    # what the client must not be sent, in lower case
    forbid: tuple[bytes, ...] = field(default=(b"x-poison",))


def post(*lines: bytes, body: bytes = b"", start: bytes = b"POST /case HTTP/1.1") -> bytes:
    """A request with these header lines, each without its end, after `Host`."""
    return start + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def get(*lines: bytes, start: bytes = b"GET /case HTTP/1.1", after: bytes = b"") -> bytes:
    """The same without a body."""
    return post(*lines, start=start, body=after)


def chunked(*parts: bytes) -> bytes:
    """The parts as chunks, with the last one."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
