"""Lines, names, values and the request line (RFC 9112 §2.2, §3, §5; RFC 9110 §5.5)."""

from __future__ import annotations

from corpus.case import ACCEPT, HOST, REJECT, SAFE, SMUGGLED, Case, get, post

END = b"\r\n\r\n"

# (name, the whole bytes, expect)
LINES: list[tuple[str, bytes, str]] = [
    ("all-lf", b"GET /case HTTP/1.1\nHost: origin.mesh\n\n", SAFE),
    ("start-lf", b"GET /case HTTP/1.1\nHost: origin.mesh\r\n\r\n", SAFE),
    ("header-lf", b"GET /case HTTP/1.1\r\nHost: origin.mesh\nX-A: b\r\n\r\n", SAFE),
    ("end-lf", b"GET /case HTTP/1.1\r\nHost: origin.mesh\r\n\n", SAFE),
    ("end-lf-hides", b"GET /case HTTP/1.1\r\nHost: origin.mesh\r\n\n" + SMUGGLED, SAFE),
    ("all-cr", b"GET /case HTTP/1.1\rHost: origin.mesh\r\r", REJECT),
    ("header-cr", b"GET /case HTTP/1.1\r\nHost: origin.mesh\rX-A: b\r\n\r\n", REJECT),
    ("cr-cr-lf", b"GET /case HTTP/1.1\r\nHost: origin.mesh\r\r\n\r\n", REJECT),
    ("end-cr-hides", b"GET /case HTTP/1.1\r\nHost: origin.mesh\r\nX-A: b\r\n\r" + SMUGGLED, REJECT),
    ("empty-line-first", b"\r\n" + get(), SAFE),
    ("empty-lines-first", b"\r\n\r\n\r\n" + get(), SAFE),
    ("lf-first", b"\n" + get(), SAFE),
    ("space-first", b" " + get(), REJECT),
    ("nul-first", b"\x00" + get(), REJECT),
    ("space-line-after-start", b"GET /case HTTP/1.1\r\n \r\n" + HOST + b"\r\n", REJECT),
    ("first-header-folded", b"GET /case HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n", REJECT),
    ("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED, SAFE),
    ("tls-hello", b"\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03" + b"\x00" * 32 + END, REJECT),
    ("request-twice", b"GET /case HTTP/1.1\r\nGET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n", REJECT),
]

# (name, a header line without its end, expect)
HEADERS: list[tuple[str, bytes, str]] = [
    ("nul-in-value", b"X-A: b\x00c", REJECT),
    ("cr-in-value", b"X-A: b\rc", REJECT),
    ("lf-in-value", b"X-A: b\nX-Smuggled: c", SAFE),
    ("vertical-tab-in-value", b"X-A: b\x0bc", SAFE),
    ("escape-in-value", b"X-A: b\x1bc", SAFE),
    ("delete-in-value", b"X-A: b\x7fc", SAFE),
    ("high-bytes-in-value", b"X-A: b\xc3\xa9\xff", SAFE),
    ("tab-in-value", b"X-A: b\tc", ACCEPT),
    ("empty-value", b"X-A:", ACCEPT),
    ("value-of-spaces", b"X-A:     ", ACCEPT),
    ("space-before-colon", b"X-A : b", REJECT),
    ("space-in-name", b"X A: b", REJECT),
    ("tab-in-name", b"X\tA: b", REJECT),
    ("nul-in-name", b"X\x00A: b", REJECT),
    ("cr-in-name", b"X\rA: b", REJECT),
    ("parenthesis-in-name", b"X(A): b", REJECT),
    ("quote-in-name", b'"X-A": b', REJECT),
    ("slash-in-name", b"X/A: b", REJECT),
    ("high-byte-in-name", b"X-\xe9: b", REJECT),
    ("no-colon", b"X-A b", REJECT),
    ("no-name", b": b", REJECT),
    ("colon-only", b":", REJECT),
    ("pseudo-name", b":path: /smuggled", REJECT),
    ("folded", b"X-A: b\r\n c", SAFE),
    ("folded-by-tab", b"X-A: b\r\n\tc", SAFE),
    ("folded-twice", b"X-A: b\r\n c\r\n d", SAFE),
    ("folded-host", b"X-A: b\r\n Host: other.mesh", SAFE),
    ("one-large", b"X-A: " + b"a" * 200_000, SAFE),
    ("name-large", b"X" * 100_000 + b": b", SAFE),
    ("many", b"\r\n".join(b"X-%d: b" % n for n in range(3_000)), SAFE),
    ("many-same", b"\r\n".join([b"X-A: b"] * 3_000), SAFE),
]

# (name, the request line, expect)
STARTS: list[tuple[str, bytes, str]] = [
    ("two-spaces", b"GET  /case HTTP/1.1", SAFE),
    ("two-spaces-before-version", b"GET /case  HTTP/1.1", SAFE),
    ("tabs", b"GET\t/case\tHTTP/1.1", SAFE),
    ("space-last", b"GET /case HTTP/1.1 ", SAFE),
    ("no-version", b"GET /case", SAFE),
    ("no-target", b"GET HTTP/1.1", SAFE),
    ("version-1.2", b"GET /case HTTP/1.2", SAFE),
    ("version-1.10", b"GET /case HTTP/1.10", REJECT),
    ("version-01.1", b"GET /case HTTP/01.1", REJECT),
    ("version-2.0", b"GET /case HTTP/2.0", REJECT),
    ("version-0.9", b"GET /case HTTP/0.9", REJECT),
    ("version-1", b"GET /case HTTP/1", REJECT),
    ("version-lower-case", b"GET /case http/1.1", REJECT),
    ("version-letters", b"GET /case HTTP/1.1x", REJECT),
    ("version-other", b"GET /case ICY/1.1", REJECT),
    ("version-huge", b"GET /case HTTP/1.18446744073709551617", REJECT),
    ("method-lower-case", b"get /case HTTP/1.1", SAFE),
    ("method-parenthesis", b"GE(T /case HTTP/1.1", REJECT),
    ("method-colon", b"GET: /case HTTP/1.1", REJECT),
    ("method-nul", b"GE\x00T /case HTTP/1.1", REJECT),
    ("method-long", b"G" * 20_000 + b" /case HTTP/1.1", SAFE),
    ("method-unknown", b"FROBNICATE /case HTTP/1.1", SAFE),
    ("target-space", b"GET /ca se HTTP/1.1", SAFE),
    ("target-hides-version", b"GET /case HTTP/1.1 HTTP/1.1", SAFE),
    ("target-tab", b"GET /ca\tse HTTP/1.1", SAFE),
    ("target-nul", b"GET /ca\x00se HTTP/1.1", REJECT),
    ("target-cr", b"GET /ca\rse HTTP/1.1", REJECT),
    ("target-lf", b"GET /ca\nX-A: b HTTP/1.1", REJECT),
    ("target-delete", b"GET /ca\x7fse HTTP/1.1", SAFE),
    ("target-high-bytes", b"GET /ca\xc3\xa9se HTTP/1.1", SAFE),
    ("target-fragment", b"GET /case#part HTTP/1.1", SAFE),
    ("target-relative", b"GET case HTTP/1.1", REJECT),
    ("target-query-only", b"GET ?case HTTP/1.1", REJECT),
    ("target-asterisk", b"GET * HTTP/1.1", SAFE),
    ("target-long", b"GET /" + b"a" * 200_000 + b" HTTP/1.1", SAFE),
    ("target-quote", b'GET /ca"se HTTP/1.1', SAFE),
    ("target-braces", b"GET /ca{se}|^ HTTP/1.1", SAFE),
]

SYNTAX: list[Case] = [Case(f"line/{name}", data, expect) for name, data, expect in LINES]
SYNTAX += [Case(f"header/{name}", get(line), expect) for name, line, expect in HEADERS]
# a target that nobody can use still ends where it ends
CLEAR = tuple(f"target-{n}" for n in ("relative", "query-only", "asterisk", "high-bytes", "quote", "braces"))
SYNTAX += [Case(f"start/{n}", get(start=line), expect, framing=n not in CLEAR) for n, line, expect in STARTS]
SYNTAX += [
    Case("start/http-0.9", b"GET /case\r\n"),
    Case("start/http-1.0", get(start=b"GET /case HTTP/1.0"), ACCEPT, must_close=True),
    Case("start/http-1.0-no-host", b"GET /case HTTP/1.0\r\n\r\n", must_close=True),
    Case("start/http-1.0-then-request", get(start=b"GET /case HTTP/1.0", after=SMUGGLED), must_close=True),
    # without a length the body is empty, whatever the method (RFC 9112 §6.3 item 7)
    Case("start/post-without-length", post(body=SMUGGLED), responses=2),
]
