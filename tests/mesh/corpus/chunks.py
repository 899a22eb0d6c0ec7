"""Chunk sizes, extensions, ends and trailers (RFC 9112 §7.1)."""

from __future__ import annotations

from corpus.case import ACCEPT, REJECT, SAFE, SMUGGLED, Case, post

TE = b"Transfer-Encoding: chunked"

# (name, the body, expect); a request follows each
BODIES: list[tuple[str, bytes, str]] = [
    ("extension", b"5;a=b\r\nhello\r\n0\r\n\r\n", ACCEPT),
    ("extension-quoted", b'5;a="b c"\r\nhello\r\n0\r\n\r\n', ACCEPT),
    ("extension-without-value", b"5;a\r\nhello\r\n0\r\n\r\n", ACCEPT),
    ("extension-on-last", b"5\r\nhello\r\n0;a=b\r\n\r\n", ACCEPT),
    ("upper-case-size", b"A\r\nhellohello\r\n0\r\n\r\n", ACCEPT),
    ("zeros-before-size", b"0005\r\nhello\r\n000\r\n\r\n", ACCEPT),
    ("extension-long", b"5;" + b"a" * 40_000 + b"\r\nhello\r\n0\r\n\r\n", SAFE),
    ("extensions-in-all", b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nh\r\n" * 3_000 + b"0\r\n\r\n", SAFE),
    ("zeros-many", b"0" * 5_000 + b"5\r\nhello\r\n0\r\n\r\n", SAFE),
    ("size-plus", b"+5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-minus", b"-5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-hex-prefix", b"0x5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-underscore", b"0_5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-fraction", b"5.0\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-letters", b"5g\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-quoted", b'"5"\r\nhello\r\n0\r\n\r\n', REJECT),
    ("size-comma", b"5,5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-space-before", b" 5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-tab-before", b"\t5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-space-after", b"5 \r\nhello\r\n0\r\n\r\n", SAFE),
    ("size-space-extension", b"5 ;a=b\r\nhello\r\n0\r\n\r\n", SAFE),
    ("size-space-inside", b"5 5\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-empty", b"\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-extension-only", b";a=b\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-nul", b"5\x00\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-vertical-tab", b"5\x0b\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-wraps-64-bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-all-ones", b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", SAFE),
    ("size-too-long", b"F" * 17 + b"\r\nhello\r\n0\r\n\r\n", REJECT),
    ("size-wraps-32-bits", b"100000005\r\nhello\r\n0\r\n\r\n", SAFE),
    ("data-long", b"5\r\nhello!\r\n0\r\n\r\n", REJECT),
    ("data-short", b"6\r\nhello\r\n0\r\n\r\n", REJECT),
    ("data-end-missing", b"5\r\nhello0\r\n\r\n", REJECT),
    ("data-end-lf", b"5\r\nhello\n0\r\n\r\n", REJECT),
    ("data-end-cr", b"5\r\nhello\r0\r\n\r\n", REJECT),
    ("data-end-other", b"5\r\nhelloXX0\r\n\r\n", REJECT),
    ("size-end-lf", b"5\nhello\r\n0\r\n\r\n", SAFE),
    ("size-end-cr", b"5\rhello\r\n0\r\n\r\n", REJECT),
    ("size-end-cr-cr-lf", b"5\r\r\nhello\r\n0\r\n\r\n", REJECT),
    ("extension-lf", b"5;a\nhello\r\n0\r\n\r\n", SAFE),
    # who ends the line at the LF reads chunks of two and fifty bytes; who goes on to the CRLF reads "32" and the end
    ("extension-lf-hides", b"2;\nxx\r\n32\r\n0\r\n\r\n" + SMUGGLED + b"\r\n0\r\n\r\n", SAFE),
    ("extension-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n", REJECT),
    ("extension-cr-hides", b"5;a\rX\r\nhello\r\n0\r\n\r\n", REJECT),
    ("extension-nul", b"5;a=\x00\r\nhello\r\n0\r\n\r\n", SAFE),
    ("extension-open-quote", b'5;a="b\r\nhello\r\n0\r\n\r\n', SAFE),
    ("last-lf", b"5\r\nhello\r\n0\n\n", SAFE),
    ("last-lf-after-cr", b"5\r\nhello\r\n0\r\n\n", SAFE),
    ("last-minus-zero", b"5\r\nhello\r\n-0\r\n\r\n", REJECT),
    ("last-cr-only", b"5\r\nhello\r\n0\r\r", REJECT),
    ("last-then-bytes", b"5\r\nhello\r\n0\r\nX\r\n\r\n", REJECT),
    ("trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", ACCEPT),
    ("trailer-length", b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", SAFE),
    ("trailer-encoding", b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", SAFE),
    ("trailer-host", b"5\r\nhello\r\n0\r\nHost: other.mesh\r\n\r\n", SAFE),
    ("trailer-authorization", b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n", SAFE),
    ("trailer-no-colon", b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n", REJECT),
    ("trailer-space-before-colon", b"5\r\nhello\r\n0\r\nX-A : b\r\n\r\n", REJECT),
    ("trailer-folded", b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n", SAFE),
    ("trailer-lf", b"5\r\nhello\r\n0\r\nX-A: b\nX-B: c\n\n", SAFE),
    ("trailer-cr", b"5\r\nhello\r\n0\r\nX-A: b\rX-B: c\r\n\r\n", REJECT),
    ("trailer-nul", b"5\r\nhello\r\n0\r\nX-A: b\x00\r\n\r\n", REJECT),
    ("trailer-large", b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", SAFE),
    ("trailers-many", b"5\r\nhello\r\n0\r\n" + b"X-A: b\r\n" * 5_000 + b"\r\n", SAFE),
]

CHUNKS: list[Case] = [
    Case(f"chunk/{name}", post(TE, body=body + SMUGGLED), expect, responses=2) for name, body, expect in BODIES
]
CHUNKS.append(
    Case(
        "chunk/trailer-own-headers",
        post(TE, body=b"5\r\nhello\r\n0\r\nX-Meshbase-Peer: gateway\r\nX-Meshbase-Project: shop\r\n\r\n"),
        ours_forbid=(b"x-meshbase-peer: gateway", b"x-meshbase-project"),
    )
)
CHUNKS += [
    # the rest never comes; the next request must not be taken for it at the origin
    Case("chunk/ends-in-size", post(TE, body=b"5")),
    Case("chunk/ends-in-data", post(TE, body=b"ff\r\nhello")),
    Case("chunk/ends-before-last", post(TE, body=b"5\r\nhello\r\n")),
    Case("chunk/ends-in-last", post(TE, body=b"5\r\nhello\r\n0\r\n")),
]
