"""Host, targets, connection options, upgrades, expectations, asserted headers (RFC 9110 §7, §10.1; RFC 9112 §3)."""

from __future__ import annotations

from corpus.case import ACCEPT, HOST, REJECT, SAFE, SMUGGLED, Case, get, post

START = b"GET /case HTTP/1.1\r\n"


def start(line: bytes, *lines: bytes) -> bytes:
    """A request with no `Host` but the given ones."""
    return line + b"\r\n" + b"".join(header + b"\r\n" for header in lines) + b"\r\n"


# (name, bytes, expect); where the request ends is clear, so a refusal may keep the connection
HOSTS: list[tuple[str, bytes, str]] = [
    ("missing", START + b"\r\n", REJECT),
    ("twice-same", START + HOST + HOST + b"\r\n", REJECT),
    ("twice", START + HOST + b"Host: other.mesh\r\n\r\n", REJECT),
    ("twice-one-empty", START + HOST + b"Host:\r\n\r\n", REJECT),
    ("empty", START + b"Host:\r\n\r\n", SAFE),
    ("userinfo", START + b"Host: a@origin.mesh\r\n\r\n", REJECT),
    ("path", START + b"Host: origin.mesh/smuggled\r\n\r\n", REJECT),
    ("space", START + b"Host: origin.mesh other.mesh\r\n\r\n", REJECT),
    ("comma", START + b"Host: origin.mesh, other.mesh\r\n\r\n", REJECT),
    ("bad-port", START + b"Host: origin.mesh:80x\r\n\r\n", REJECT),
    ("two-ports", START + b"Host: origin.mesh:80:81\r\n\r\n", REJECT),
    ("nul", START + b"Host: origin.mesh\x00\r\n\r\n", REJECT),
    ("space-before-colon", START + b"Host : origin.mesh\r\n\r\n", REJECT),
    ("named-by-connection", get(b"Connection: host"), SAFE),
    ("absolute", start(b"GET http://origin.mesh/case HTTP/1.1", b"Host: origin.mesh"), ACCEPT),
    ("absolute-mismatch", start(b"GET http://origin.mesh/case HTTP/1.1", b"Host: other.mesh"), SAFE),
    ("absolute-mismatch-reversed", start(b"GET http://other.mesh/case HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-without-host", start(b"GET http://origin.mesh/case HTTP/1.1"), REJECT),
    ("absolute-userinfo", start(b"GET http://a:b@origin.mesh/case HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-no-authority", start(b"GET http:///case HTTP/1.1", b"Host: origin.mesh"), REJECT),
    ("absolute-no-path", start(b"GET http://origin.mesh HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-https", start(b"GET https://origin.mesh/case HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-ftp", start(b"GET ftp://origin.mesh/case HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-one-slash", start(b"GET http:/origin.mesh/case HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("absolute-backslash", start(rb"GET http://origin.mesh\@other.mesh/ HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("authority-form-get", start(b"GET origin.mesh:80 HTTP/1.1", b"Host: origin.mesh"), REJECT),
    ("connect-path", start(b"CONNECT /case HTTP/1.1", b"Host: origin.mesh"), REJECT),
    ("options-asterisk", start(b"OPTIONS * HTTP/1.1", b"Host: origin.mesh"), SAFE),
    ("max-forwards", start(b"OPTIONS /case HTTP/1.1", b"Host: origin.mesh", b"Max-Forwards: 0"), SAFE),
    ("trace", start(b"TRACE /case HTTP/1.1", b"Host: origin.mesh", b"Max-Forwards: 0"), SAFE),
]

# (name, path): none may come out as two requests or as another header
PATHS: list[tuple[str, bytes]] = [
    ("dots", b"/a/../case"),
    ("encoded-dots", b"/a/%2e%2e/case"),
    ("mixed-dots", b"/a/.%2E/case"),
    ("twice-encoded-dots", b"/a/%252e%252e/case"),
    ("above-root", b"/../../case"),
    ("two-slashes", b"//case"),
    ("encoded-slash", b"/a%2fcase"),
    ("backslash", b"/a\\..\\case"),
    ("encoded-backslash", b"/a%5c..%5ccase"),
    ("semicolon", b"/a/..;/case"),
    ("encoded-nul", b"/case%00"),
    ("encoded-crlf", b"/case%0d%0aX-Smuggled:%20b"),
    ("encoded-request", b"/case%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/smuggled"),
    ("bad-percent", b"/case%zz"),
    ("half-percent", b"/case%2"),
    ("overlong-slash", b"/a%c0%afcase"),
]

UPGRADE = [b"Connection: Upgrade", b"Upgrade: websocket"]
KEY = [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
H2C = b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
CHUNKED = b"Transfer-Encoding: chunked"
EXPECT = b"Expect: 100-continue"
CONNECT = start(b"CONNECT origin.mesh:80 HTTP/1.1", b"Host: origin.mesh:80")

CONNECTIONS: list[Case] = [
    # the origin does not switch protocols: what follows is a request, not a tunnel
    Case("upgrade/refused-then-request", get(*UPGRADE, *KEY, after=SMUGGLED), responses=2),
    Case("upgrade/bad-version", get(*UPGRADE, b"Sec-WebSocket-Version: 777", *KEY[1:], after=SMUGGLED), responses=2),
    Case("upgrade/with-length", post(*UPGRADE, *KEY, b"Content-Length: 5", body=b"hello" + SMUGGLED), responses=2),
    Case(
        "upgrade/with-chunks",
        post(*UPGRADE, CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
        responses=2,
    ),
    Case("upgrade/without-connection", get(b"Upgrade: websocket", *KEY, after=SMUGGLED), responses=2),
    # behind a tunnel of HTTP/2 nobody would look at requests any more
    *(
        Case(f"upgrade/{name}", get(*lines, after=SMUGGLED), responses=2, ours_forbid=(b"upgrade: h2c", b", h2c"))
        for name, lines in [
            ("h2c", [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", H2C]),
            ("h2c-no-settings", [b"Connection: Upgrade", b"Upgrade: h2c"]),
            ("h2c-upper-case", [b"Connection: Upgrade", b"Upgrade: H2C"]),
            ("h2c-in-list", [b"Connection: Upgrade", b"Upgrade: websocket, h2c"]),
        ]
    ),
    Case("upgrade/tls", get(b"Connection: Upgrade", b"Upgrade: TLS/1.2", after=SMUGGLED), responses=2),
    Case("upgrade/http-1.0", get(*UPGRADE, *KEY, start=b"GET /case HTTP/1.0", after=SMUGGLED), must_close=True),
    Case("connect/then-request", CONNECT + SMUGGLED, framing=False),
    Case("connect/with-length", CONNECT[:-2] + b"Content-Length: 5\r\n\r\nhello" + SMUGGLED, framing=False),
    Case("expect/continue", post(EXPECT, b"Content-Length: 5", body=b"hello"), ACCEPT),
    Case("expect/continue-chunks", post(EXPECT, CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"), ACCEPT),
    Case("expect/then-request", post(EXPECT, b"Content-Length: 5", body=b"hello" + SMUGGLED), responses=2),
    Case("expect/get-then-request", get(EXPECT, after=SMUGGLED), responses=2),
    Case("expect/unknown", post(b"Expect: 100-continuing", b"Content-Length: 5", body=b"hello"), framing=False),
    Case("expect/twice", post(EXPECT, EXPECT, b"Content-Length: 5", body=b"hello")),
    # the origin answers `/early` before it has read the body
    Case(
        "expect/early-answer",
        post(EXPECT, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, start=b"POST /early HTTP/1.1"),
    ),
    Case("early/body-follows", post(b"Content-Length: 65536", body=b"a" * 65_536, start=b"POST /early HTTP/1.1")),
    Case("early/body-never-comes", post(b"Content-Length: 65536", body=b"a", start=b"POST /early HTTP/1.1")),
    Case("early/chunks-never-end", post(CHUNKED, body=b"1\r\na\r\n", start=b"POST /early HTTP/1.1")),
    Case("connection/close-then-request", get(b"Connection: close", after=SMUGGLED), must_close=True),
    Case("connection/close-in-list", get(b"Connection: keep-alive, close", after=SMUGGLED), must_close=True),
    Case("connection/names-authorization", get(b"Connection: authorization", b"Authorization: Bearer x")),
    Case("connection/proxy", get(b"Proxy-Connection: keep-alive"), ACCEPT),
    Case("connection/te", get(b"Connection: TE", b"TE: trailers"), ACCEPT),
    Case("connection/te-chunked", get(b"Connection: TE", b"TE: chunked")),
    Case("connection/trailer", get(b"Trailer: Content-Length")),
    Case("head/with-length", get(b"Content-Length: 5", start=b"HEAD /case HTTP/1.1", after=b"hello")),
    Case("head/pipelined", get(start=b"HEAD /case HTTP/1.1") * 2, ACCEPT, responses=2),
    Case(
        "options/chunks",
        post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", start=b"OPTIONS /case HTTP/1.1"),
    ),
]

# headers by which something inside knows who asks; they must not come from outside
ASSERTED: list[tuple[str, bytes]] = [
    ("peer", b"X-Meshbase-Peer: gateway"),
    ("peer-lower-case", b"x-meshbase-peer: gateway"),
    ("project", b"X-Meshbase-Project: shop"),
    ("client-ip", b"X-Meshbase-Client-Ip: 10.0.0.1"),
    ("unknown", b"X-Meshbase-Frobnicate: 1"),
    ("fault", b"X-Meshbase-Fault: tenant"),
]
OTHERS: list[tuple[str, bytes]] = [
    ("peer-underscore", b"X_Meshbase_Peer: gateway"),
    ("forwarded-for-underscore", b"X_Forwarded_For: 10.0.0.1"),
    ("client-certificate", b"X-Forwarded-Client-Cert: By=spiffe://a;URI=spiffe://b"),
    ("key", b"Sb-Api-Key: x"),
    ("linkerd", b"L5d-Dst-Override: other.mesh:80"),
    ("envoy", b"X-Envoy-Original-Path: /smuggled"),
    ("original-url", b"X-Original-URL: /smuggled"),
]

ROUTING: list[Case] = [Case(f"host/{name}", data, expect, framing=False) for name, data, expect in HOSTS]
ROUTING += [Case(f"path/{n}", get(start=b"GET " + p + b" HTTP/1.1"), framing=False) for n, p in PATHS]
ROUTING += CONNECTIONS
ROUTING += [Case(f"asserted/{name}", get(line), ACCEPT, ours_forbid=(line.lower(),)) for name, line in ASSERTED]
ROUTING += [Case(f"asserted/{name}", get(line), framing=False) for name, line in OTHERS]
