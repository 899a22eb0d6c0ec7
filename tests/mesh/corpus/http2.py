"""HTTP/2 requests that must not become something else behind the proxy (RFC 9113 §5, §6, §8; RFC 8441)."""

from __future__ import annotations

from dataclasses import dataclass

from corpus.case import ACCEPT, REJECT, SAFE, SMUGGLED
from corpus.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Field,
    block,
    data,
    frame,
    head,
    request,
)

POST = b"POST"
INJECTED = b"b\r\nX-Smuggled: c"
REQUEST = b"b\r\n\r\n" + SMUGGLED


@dataclass(frozen=True)
class Http2Case:
    """Frames to send after the preface and SETTINGS; requests are on odd streams from 1 to `streams`."""

    name: str
    data: bytes
    expect: str = REJECT
    streams: tuple[int, ...] = (1,)
    forbid: tuple[bytes, ...] = (b"x-smuggled",)
    ours_forbid: tuple[bytes, ...] = ()


def one(name: str, fields: list[Field], expect: str = REJECT, **more: object) -> Http2Case:
    """A request that is only HEADERS."""
    return Http2Case(f"h2/{name}", head(1, fields, end=True), expect, **more)


def body(name: str, fields: list[Field], payload: bytes, expect: str = REJECT, tail: bytes = b"") -> Http2Case:
    """A request with a body, and perhaps trailers."""
    return Http2Case(f"h2/{name}", head(1, fields, end=False) + data(1, payload, end=not tail) + tail, expect)


def field(name: bytes, value: bytes) -> list[Field]:
    """An ordinary request with one more field."""
    return request(b"/case", b"GET", (name, value))


def pseudo(**replaced: bytes | None) -> list[Field]:
    """An ordinary request with other pseudo-header fields; `None` leaves one out."""
    fields = []
    for name, value in request():
        value = replaced.get(name[1:].decode(), value)
        if value is not None:
            fields.append((name, value))
    return fields


def trailers(*fields: Field) -> bytes:
    """The end of a body."""
    return head(1, list(fields), end=True)


LENGTH = b"content-length"

FRAMING: list[Http2Case] = [
    one("ok/get", request(), ACCEPT),
    body("ok/post", request(b"/case", POST, (LENGTH, b"5")), b"hello", ACCEPT),
    body("ok/post-without-length", request(b"/case", POST), b"hello", ACCEPT),
    body("ok/trailers", request(b"/case", POST), b"hello", ACCEPT, trailers((b"x-sum", b"1"))),
    one("ok/te-trailers", field(b"te", b"trailers"), ACCEPT),
    one("ok/cookies", request(b"/case", b"GET", (b"cookie", b"a=b"), (b"cookie", b"c=d")), ACCEPT),
    body("cl/too-long", request(b"/case", POST, (LENGTH, b"60")), b"hello"),
    body("cl/too-short", request(b"/case", POST, (LENGTH, b"5")), b"hello" + SMUGGLED),
    body("cl/zero", request(b"/case", POST, (LENGTH, b"0")), SMUGGLED),
    one("cl/no-body", request(b"/case", POST, (LENGTH, b"60"))),
    body("cl/twice", request(b"/case", POST, (LENGTH, b"5"), (LENGTH, b"50")), b"hello" + SMUGGLED),
    body("cl/list", request(b"/case", POST, (LENGTH, b"5, 5")), b"hello", SAFE),
    body("cl/plus", request(b"/case", POST, (LENGTH, b"+5")), b"hello"),
    body("cl/letters", request(b"/case", POST, (LENGTH, b"5x")), b"hello"),
    body("cl/injected", request(b"/case", POST, (LENGTH, b"0\r\n\r\n" + SMUGGLED)), b"hello"),
    body("te/chunked", request(b"/case", POST, (b"transfer-encoding", b"chunked")), b"0\r\n\r\n" + SMUGGLED),
    body("te/identity", request(b"/case", POST, (b"transfer-encoding", b"identity")), b"hello"),
    body(
        "te/with-length",
        request(b"/case", POST, (LENGTH, b"50"), (b"transfer-encoding", b"chunked")),
        b"0\r\n\r\n" + SMUGGLED,
    ),
    one("te/te-chunked", field(b"te", b"chunked")),
    body("trailers/length", request(b"/case", POST), b"hello", SAFE, trailers((LENGTH, b"50"))),
    body("trailers/encoding", request(b"/case", POST), b"hello", SAFE, trailers((b"transfer-encoding", b"chunked"))),
    body("trailers/pseudo", request(b"/case", POST), b"hello", REJECT, trailers((b":path", b"/smuggled"))),
    body("trailers/crlf", request(b"/case", POST), b"hello", REJECT, trailers((b"x-a", REQUEST))),
    body("trailers/name-crlf", request(b"/case", POST), b"hello", REJECT, trailers((b"x-a: b\r\n\r\nget /", b"c"))),
    Http2Case("h2/trailers/no-end", head(1, request(), False) + head(1, [(b"x-a", b"b")], False)),
]

FIELDS: list[Http2Case] = [
    one("field/crlf-in-value", field(b"x-a", INJECTED)),
    one("field/request-in-value", field(b"x-a", REQUEST)),
    one("field/lf-in-value", field(b"x-a", b"b\nX-Smuggled: c")),
    one("field/cr-in-value", field(b"x-a", b"b\rX-Smuggled: c")),
    one("field/nul-in-value", field(b"x-a", b"b\x00c")),
    one("field/space-before-value", field(b"x-a", b" b"), SAFE),
    one("field/tab-after-value", field(b"x-a", b"b\t"), SAFE),
    one("field/upper-case", field(b"X-A", b"b")),
    one("field/upper-case-encoding", field(b"Transfer-Encoding", b"chunked")),
    one("field/crlf-in-name", field(b"x-a: b\r\nx-smuggled", b"c")),
    one("field/space-in-name", field(b"x a", b"b")),
    one("field/colon-in-name", field(b"x-a:", b"b")),
    one("field/encoding-with-space", field(b"transfer-encoding ", b"chunked")),
    one("field/empty-name", field(b"", b"b")),
    one("field/high-byte-in-name", field(b"x-\xe9", b"b")),
    one("field/connection", field(b"connection", b"close")),
    one("field/connection-names-host", field(b"connection", b"host")),
    one("field/keep-alive", field(b"keep-alive", b"timeout=5")),
    one("field/proxy-connection", field(b"proxy-connection", b"keep-alive")),
    one("field/upgrade", field(b"upgrade", b"websocket")),
    one("field/host-differs", field(b"host", b"other.mesh"), SAFE),
    one("field/host-twice", request(b"/case", b"GET", (b"host", b"a.mesh"), (b"host", b"b.mesh")), SAFE),
    one("field/cookie-crlf", request(b"/case", b"GET", (b"cookie", b"a=b"), (b"cookie", INJECTED))),
    one("field/own-headers", field(b"x-meshbase-project", b"shop"), ACCEPT, ours_forbid=(b"x-meshbase-project",)),
]

PSEUDO: list[Http2Case] = [
    one("pseudo/path-space", pseudo(path=b"/case HTTP/1.1")),
    one("pseudo/path-request", pseudo(path=b"/case HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled")),
    one("pseudo/path-lf", pseudo(path=b"/case\nx-smuggled: c")),
    one("pseudo/path-nul", pseudo(path=b"/case\x00")),
    one("pseudo/path-tab", pseudo(path=b"/case\tb")),
    one("pseudo/path-empty", pseudo(path=b"")),
    one("pseudo/path-relative", pseudo(path=b"case")),
    one("pseudo/path-absolute", pseudo(path=b"http://other.mesh/case"), SAFE),
    one("pseudo/path-asterisk", pseudo(path=b"*"), SAFE),
    one("pseudo/path-fragment", pseudo(path=b"/case#part"), SAFE),
    one("pseudo/method-request", pseudo(method=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET")),
    one("pseudo/method-space", pseudo(method=b"GET /smuggled")),
    one("pseudo/method-empty", pseudo(method=b"")),
    one("pseudo/scheme-request", pseudo(scheme=b"http://a/ HTTP/1.1\r\nX-Smuggled: c\r\n"), SAFE),
    one("pseudo/scheme-unknown", pseudo(scheme=b"ftp"), SAFE),
    one("pseudo/authority-crlf", pseudo(authority=b"origin.mesh\r\nX-Smuggled: c")),
    one("pseudo/authority-space", pseudo(authority=b"origin.mesh a")),
    one("pseudo/authority-userinfo", pseudo(authority=b"a@origin.mesh")),
    one("pseudo/authority-path", pseudo(authority=b"origin.mesh/smuggled")),
    one("pseudo/authority-empty", pseudo(authority=b""), SAFE),
    one("pseudo/authority-missing", pseudo(authority=None), SAFE),
    one("pseudo/authority-as-host", [*pseudo(authority=None), (b"host", b"origin.mesh")], SAFE),
    one("pseudo/no-method", pseudo(method=None)),
    one("pseudo/no-path", pseudo(path=None)),
    one("pseudo/no-scheme", pseudo(scheme=None)),
    one("pseudo/method-twice", [*request(), (b":method", POST)]),
    one("pseudo/path-twice", [*request(), (b":path", b"/smuggled")]),
    one("pseudo/authority-twice", [*request(), (b":authority", b"other.mesh")]),
    one("pseudo/after-field", [*request()[:2], (b"x-a", b"b"), *request()[2:]]),
    one("pseudo/unknown", [(b":frobnicate", b"b"), *request()]),
    one("pseudo/status", [(b":status", b"200"), *request()]),
    one("pseudo/protocol-on-get", [*request(), (b":protocol", b"websocket")], SAFE),
    one("pseudo/connect-with-path", pseudo(method=b"CONNECT")),
    Http2Case(
        "h2/pseudo/connect-then-data",
        head(1, pseudo(method=b"CONNECT", path=None, scheme=None), False) + data(1, SMUGGLED),
        SAFE,
    ),
    Http2Case(
        "h2/pseudo/extended-connect",
        head(1, [*pseudo(method=b"CONNECT"), (b":protocol", b"websocket")], False) + data(1, SMUGGLED),
        SAFE,
    ),
]

BOMB = b"\x40" + b"\x01a" + b"\x7f\x81\x1e" + b"b" * 4_000 + b"\xbe" * 16_000
GET = block(request())

CONNECTION: list[Http2Case] = [
    Http2Case("h2/stream/data-on-zero", frame(0, END_STREAM, 0, SMUGGLED), REJECT, ()),
    Http2Case("h2/stream/headers-on-zero", frame(HEADERS, END_HEADERS | END_STREAM, 0, GET), REJECT, ()),
    Http2Case("h2/stream/even", frame(HEADERS, END_HEADERS | END_STREAM, 2, GET), REJECT, (2,)),
    Http2Case("h2/stream/data-before-headers", data(1, SMUGGLED)),
    Http2Case("h2/stream/data-after-end", head(1, request(), True) + data(1, SMUGGLED), SAFE),
    Http2Case("h2/stream/headers-twice", head(1, request(), True) * 2, SAFE),
    Http2Case("h2/stream/backwards", head(3, request(), True) + head(1, request(), True), SAFE, (3, 1)),
    Http2Case("h2/frame/continuation-alone", frame(CONTINUATION, END_HEADERS, 1, GET)),
    Http2Case("h2/frame/between-continuations", frame(HEADERS, 0, 1, GET) + frame(PING, 0, 0, b"a" * 8)),
    Http2Case("h2/frame/too-large", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00" * 70_000)),
    Http2Case("h2/frame/padding-too-long", frame(HEADERS, END_HEADERS | END_STREAM | 0x8, 1, b"\xff" + GET)),
    Http2Case("h2/frame/bad-index", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\x7f")),
    Http2Case("h2/frame/window-overflow", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), REJECT, ()),
    Http2Case("h2/frame/window-zero", frame(WINDOW_UPDATE, 0, 0, b"\x00" * 4), REJECT, ()),
    Http2Case("h2/frame/settings-odd-length", frame(SETTINGS, 0, 0, b"\x00\x01\x00"), REJECT, ()),
    Http2Case("h2/flood/header-bomb", frame(HEADERS, END_HEADERS | END_STREAM, 1, GET + BOMB[:15_000])),
    Http2Case("h2/flood/continuations", frame(HEADERS, 0, 1, GET) + frame(CONTINUATION, 0, 1, b"") * 5_000),
    Http2Case(
        "h2/flood/large-head",
        head(1, request(b"/case", b"GET", *[(b"x-%d" % n, b"b" * 1_000) for n in range(400)]), True),
        SAFE,
    ),
    Http2Case(
        "h2/flood/resets",
        b"".join(head(n, request(), True) + frame(RST_STREAM, 0, n, b"\x00\x00\x00\x08") for n in range(1, 2_001, 2)),
        SAFE,
        (),
    ),
    Http2Case("h2/flood/pings", frame(PING, 0, 0, b"a" * 8) * 5_000, SAFE, ()),
    Http2Case("h2/flood/settings", frame(SETTINGS, 0, 0) * 5_000, SAFE, ()),
    Http2Case("h2/flood/empty-data", head(1, request(b"/case", POST), False) + data(1, b"", False) * 5_000, SAFE),
]

HTTP2: list[Http2Case] = [*FRAMING, *FIELDS, *PSEUDO, *CONNECTION]
