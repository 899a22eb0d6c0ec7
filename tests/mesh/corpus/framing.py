"""Content-Length and Transfer-Encoding: where a body ends (RFC 9112 §6.1, §6.3; RFC 9110 §8.6)."""

from __future__ import annotations

from corpus.case import ACCEPT, REJECT, SAFE, SMUGGLED, Case, chunked, get, post

TE = b"Transfer-Encoding: chunked"
HELLO = b"hello" + SMUGGLED

# (name, value, expect): "hello" and a request follow
LENGTHS: list[tuple[str, bytes, str]] = [
    ("plus", b" +5", REJECT),
    ("minus", b" -5", REJECT),
    ("minus-zero", b" -0", REJECT),
    ("two-spaces", b"  5", SAFE),
    ("no-space", b"5", SAFE),
    ("trailing-space", b" 5 ", SAFE),
    ("tab", b"\t5", SAFE),
    ("vertical-tab", b" \x0b5", REJECT),
    ("form-feed", b" 5\x0c", REJECT),
    ("hex", b" 0x5", REJECT),
    ("letters", b" 5abc", REJECT),
    ("fraction", b" 5.0", REJECT),
    ("exponent", b" 5e0", REJECT),
    ("underscore", b" 1_0", REJECT),
    ("two-numbers", b" 5 5", REJECT),
    ("semicolon", b" 5;5", REJECT),
    ("quoted", b' "5"', REJECT),
    ("arabic-digit", b" \xd9\xa5", REJECT),
    ("empty", b"", REJECT),
    ("zeros", b" 0000000005", SAFE),
    ("list-same", b" 5, 5", SAFE),
    ("list-different", b" 5, 6", REJECT),
    ("list-zero", b" 0, 5", REJECT),
    ("list-empty-end", b" 5,", REJECT),
    ("list-empty-start", b" ,5", REJECT),
    ("huge", b" 99999999999999999999", REJECT),
    ("wraps-64-bits", b" 18446744073709551621", REJECT),
    ("wraps-32-bits", b" 4294967301", SAFE),
    ("signed-64-bits", b" 9223372036854775808", SAFE),
    ("nul", b" 5\x00", REJECT),
]

# (name, header lines, expect): a chunked body and a request follow
ENCODINGS: list[tuple[str, list[bytes], str]] = [
    ("x-prefix", [b"Transfer-Encoding: xchunked"], REJECT),
    ("x-suffix", [b"Transfer-Encoding: chunkedx"], REJECT),
    ("not-last", [b"Transfer-Encoding: chunked, identity"], REJECT),
    ("identity-first", [b"Transfer-Encoding: identity, chunked"], SAFE),
    ("parameter", [b"Transfer-Encoding: chunked;q=0.5"], REJECT),
    ("twice-in-list", [b"Transfer-Encoding: chunked, chunked"], REJECT),
    ("twice", [TE, TE], REJECT),
    ("then-identity", [TE, b"Transfer-Encoding: identity"], REJECT),
    ("after-identity", [b"Transfer-Encoding: identity", TE], SAFE),
    ("then-unknown", [TE, b"Transfer-encoding: cow"], REJECT),
    ("after-unknown", [b"Transfer-Encoding: cow", TE], REJECT),
    ("gzip-first", [b"Transfer-Encoding: gzip, chunked"], SAFE),
    ("gzip-last", [b"Transfer-Encoding: chunked, gzip"], REJECT),
    ("gzip", [b"Transfer-Encoding: gzip"], REJECT),
    ("identity", [b"Transfer-Encoding: identity"], REJECT),
    ("empty", [b"Transfer-Encoding:"], REJECT),
    ("empty-first", [b"Transfer-Encoding: , chunked"], SAFE),
    ("empty-last", [b"Transfer-Encoding: chunked,"], SAFE),
    ("double-quoted", [b'Transfer-Encoding: "chunked"'], REJECT),
    ("single-quoted", [b"Transfer-Encoding: 'chunked'"], REJECT),
    ("vertical-tab", [b"Transfer-Encoding: \x0bchunked"], REJECT),
    ("form-feed-after", [b"Transfer-Encoding: chunked\x0c"], REJECT),
    ("nul-after", [b"Transfer-Encoding: chunked\x00"], REJECT),
    ("byte-after", [b"Transfer-Encoding: chunked\xff"], REJECT),
    ("kelvin-sign", [b"Transfer-Encoding: chun\xe2\x84\xaaed"], REJECT),
    ("tab", [b"Transfer-Encoding:\tchunked"], SAFE),
    ("upper-case", [b"TRANSFER-ENCODING: CHUNKED"], SAFE),
    ("space-before-colon", [b"Transfer-Encoding : chunked"], REJECT),
    ("tab-before-colon", [b"Transfer-Encoding\t: chunked"], REJECT),
    ("vertical-tab-before-colon", [b"Transfer-Encoding\x0b: chunked"], REJECT),
    ("nul-before-colon", [b"Transfer-Encoding\x00: chunked"], REJECT),
    ("folded-value", [b"Transfer-Encoding:\r\n chunked"], SAFE),
    ("folded-name", [b"X-A: b\r\n Transfer-Encoding: chunked"], SAFE),
    ("after-bare-lf", [b"X-A: b\nTransfer-Encoding: chunked"], SAFE),
    ("after-bare-cr", [b"X-A: b\rTransfer-Encoding: chunked"], REJECT),
    ("lf-in-value", [b"Transfer-Encoding:\n chunked"], SAFE),
    ("underscore", [b"Transfer_Encoding: chunked"], SAFE),
]


def lengths() -> list[Case]:
    """Every spelling of a length, and two of them."""
    made = [Case(f"cl/{n}", post(b"Content-Length:" + v, body=HELLO), e, responses=2) for n, v, e in LENGTHS]
    both = len(HELLO)
    for name, lines, expect in [
        ("same-twice", [b"Content-Length: 5", b"Content-Length: 5"], SAFE),
        ("different", [b"Content-Length: 5", b"Content-Length: %d" % both], REJECT),
        ("different-reversed", [b"Content-Length: %d" % both, b"Content-Length: 5"], REJECT),
        ("zero-then-five", [b"Content-Length: 0", b"Content-Length: 5"], REJECT),
        ("good-then-bad", [b"Content-Length: 5", b"Content-Length: +5"], REJECT),
        ("space-before-colon", [b"Content-Length : %d" % both], REJECT),
        ("tab-before-colon", [b"Content-Length\t: %d" % both], REJECT),
        ("folded-name", [b"X-A: b\r\n Content-Length: %d" % both], SAFE),
        ("folded-value", [b"Content-Length:\r\n %d" % both], SAFE),
        ("underscore-in-name", [b"Content_Length: %d" % both], SAFE),
        ("named-by-connection", [b"Connection: content-length", b"Content-Length: %d" % both], SAFE),
        ("named-beside-keep-alive", [b"Connection: keep-alive, Content-Length", b"Content-Length: %d" % both], SAFE),
    ]:
        made.append(Case(f"cl/{name}", post(*lines, body=HELLO), expect))
    return made


def encodings() -> list[Case]:
    """Every spelling of `chunked`, alone and beside a length that disagrees."""
    body = chunked(b"hello") + SMUGGLED
    made = []
    for name, lines, expect in ENCODINGS:
        made.append(Case(f"te/{name}", post(*lines, body=body), expect, responses=2))
        beside = [*lines, b"Content-Length: %d" % len(body)]
        # a name that is not the field's own may be forwarded like any other
        made.append(Case(f"te+cl/{name}", post(*beside, body=body), expect if expect == REJECT else SAFE))
    return made


def both() -> list[Case]:
    """Content-Length beside a good Transfer-Encoding: one reading, or none; and never the connection again."""
    hidden = chunked() + SMUGGLED
    shown = chunked(SMUGGLED)
    length = b"Content-Length: %d"
    whole = {"must_close": True}
    return [
        Case("both/length-first", post(length % len(hidden), TE, body=hidden), **whole),
        Case("both/encoding-first", post(TE, length % len(hidden), body=hidden), **whole),
        Case("both/short-length", post(length % 4, TE, body=shown), **whole),
        Case("both/short-length-last", post(TE, length % 4, body=shown), **whole),
        Case("both/length-zero", post(length % 0, TE, body=shown), **whole),
        Case("both/length-twice", post(length % 0, TE, length % 0, body=shown), **whole),
        Case("both/bad-length", post(b"Content-Length: x", TE, body=shown), REJECT),
        Case("both/get", get(length % len(hidden), TE, after=hidden), **whole),
        Case("both/http-1.0", post(length % len(hidden), TE, body=hidden, start=b"POST /case HTTP/1.0"), **whole),
        Case("te/http-1.0", post(TE, body=hidden, start=b"POST /case HTTP/1.0"), **whole),
        Case(
            "te/http-1.0-keep-alive",
            post(b"Connection: keep-alive", TE, body=hidden, start=b"POST /case HTTP/1.0"),
            **whole,
        ),
        Case("te/named-by-connection", post(b"Connection: transfer-encoding", TE, body=shown)),
        Case(
            "both/length-named-by-connection",
            post(b"Connection: content-length", length % 4, TE, body=shown),
            **whole,
        ),
    ]


def plain() -> list[Case]:
    """What every proxy must take."""
    return [
        Case("ok/get", get(), ACCEPT),
        Case("ok/length", post(b"Content-Length: 5", body=b"hello"), ACCEPT),
        Case("ok/length-zero", post(b"Content-Length: 0"), ACCEPT),
        Case("ok/chunked", post(TE, body=chunked(b"hello", b"world" * 100)), ACCEPT),
        Case("ok/request-in-length", post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), ACCEPT),
        Case("ok/request-in-chunks", post(TE, body=chunked(SMUGGLED)), ACCEPT),
        Case("ok/get-with-length", get(b"Content-Length: 5", after=b"hello"), ACCEPT),
        Case("ok/pipelined", get() * 10, ACCEPT, responses=10),
        Case("ok/pipelined-after-length", post(b"Content-Length: 5", body=b"hello") * 3, ACCEPT, responses=3),
        Case("ok/pipelined-after-chunks", post(TE, body=chunked(b"hello")) * 3, ACCEPT, responses=3),
    ]


FRAMING: list[Case] = [*plain(), *lengths(), *encodings(), *both()]
