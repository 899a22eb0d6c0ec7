"""Answers of an origin that is wrong or hostile; the client must not pay for it (RFC 9112 §6, §7, §9)."""

from __future__ import annotations

from corpus.case import Reply

OK = b"HTTP/1.1 200 OK\r\nX-Origin-Id: @ID@\r\n"
POISON = b"HTTP/1.1 200 OK\r\nX-Poison: 1\r\nContent-Length: 6\r\n\r\npoison"
HELLO = b"Content-Length: 5\r\n\r\nhello"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nX-Origin-Id: @ID@\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def reply(name: str, *pieces: bytes | float, **more: object) -> Reply:
    """One answer in pieces."""
    return Reply(name, pieces, **more)


def head(line: bytes) -> tuple[bytes]:
    """A whole answer with one more header line."""
    return (OK + line + b"\r\n" + HELLO,)


def start(line: bytes) -> tuple[bytes]:
    """A whole answer with another status line."""
    return (line + b"\r\nX-Origin-Id: @ID@\r\n" + HELLO,)


GOOD: list[Reply] = [
    reply("ok/length", OK + HELLO, statuses=(200,)),
    reply("ok/chunked", OK + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", statuses=(200,)),
    reply("ok/until-close", OK + b"\r\nhello", close=True, statuses=(200,)),
    reply("ok/head", OK + b"Content-Length: 5\r\n\r\n", method=b"HEAD", statuses=(200,)),
    reply("ok/204", NO_CONTENT + b"\r\n", statuses=(204,)),
    reply("ok/304", b"HTTP/1.1 304 Not Modified\r\nX-Origin-Id: @ID@\r\nContent-Length: 5\r\n\r\n", statuses=(304,)),
    reply("ok/interim", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + HELLO, statuses=(200,)),
    reply("ok/in-pieces", OK, 0.02, b"Content-Len", 0.02, b"gth: 5\r\n\r", 0.02, b"\nhello", statuses=(200,)),
]

# (name, pieces): a second answer, or what looks like one, that nobody asked for
TWO: list[Reply] = [
    reply("two/at-once", OK + HELLO + POISON),
    reply("two/later", OK + HELLO, 0.1, POISON),
    reply("two/after-chunks", OK + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + POISON),
    reply("two/bytes-later", OK + HELLO, 0.1, b"HTTP/1.1 200"),
    reply("two/crlf-later", OK + HELLO, 0.1, b"\r\n"),
    reply("two/body-too-long", OK + HELLO + b" and more"),
    reply("head/with-body", OK + HELLO, method=b"HEAD"),
    reply("head/with-answer-as-body", OK + b"Content-Length: %d\r\n\r\n" % len(POISON) + POISON, method=b"HEAD"),
    reply("head/with-chunks", OK + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", method=b"HEAD"),
    reply("204/with-body", NO_CONTENT + HELLO),
    reply("204/with-answer", NO_CONTENT + b"\r\n" + POISON),
    reply("204/with-chunks", NO_CONTENT + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
    reply("304/with-body", b"HTTP/1.1 304 Not Modified\r\nX-Origin-Id: @ID@\r\n" + HELLO),
    reply("304/with-answer", b"HTTP/1.1 304 Not Modified\r\nX-Origin-Id: @ID@\r\n\r\n" + POISON),
    reply("205/with-body", b"HTTP/1.1 205 Reset Content\r\nX-Origin-Id: @ID@\r\n" + HELLO),
]

FRAMING: list[Reply] = [
    reply("both/length-first", OK + b"Content-Length: 3\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
    reply("both/encoding-first", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + POISON),
    reply("cl/different", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", whole=False),
    reply("cl/same-twice", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    reply("cl/list-different", OK + b"Content-Length: 5, 6\r\n\r\nhello!", whole=False),
    reply("cl/minus", OK + b"Content-Length: -5\r\n\r\nhello", close=True, whole=False),
    reply("cl/plus", OK + b"Content-Length: +5\r\n\r\nhello", close=True, whole=False),
    reply("cl/letters", OK + b"Content-Length: 5x\r\n\r\nhello", close=True, whole=False),
    reply("cl/huge", OK + b"Content-Length: 99999999999999999999\r\n\r\nhello", close=True, whole=False),
    reply("cl/short-then-close", OK + b"Content-Length: 50\r\n\r\nhello", close=True, whole=False),
    reply("te/unknown", OK + b"Transfer-Encoding: cow\r\n\r\nhello", close=True),
    reply("te/x-prefix", OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", close=True),
    reply("te/gzip-last", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello", close=True),
    reply("te/twice", OK + b"Transfer-Encoding: chunked\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
    reply("te/http-1.0", OK.replace(b"1.1", b"1.0") + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", close=True),
    reply("te/space-before-colon", OK + b"Transfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", close=True),
    reply("chunk/bad-size", OK + CHUNKED + b"5\r\nhello\r\nxyz\r\n", close=True, whole=False),
    reply("chunk/plus", OK + CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", close=True, whole=False),
    reply("chunk/overflow", OK + CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", close=True, whole=False),
    reply("chunk/no-crlf", OK + CHUNKED + b"5\r\nhello0\r\n\r\n", close=True, whole=False),
    reply("chunk/no-last", OK + CHUNKED + b"5\r\nhello\r\n", close=True, whole=False),
    reply("chunk/cut-in-data", OK + CHUNKED + b"ff\r\nhello", close=True, whole=False),
    reply("chunk/trailer-length", OK + CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
    reply("chunk/trailer-lf", OK + CHUNKED + b"5\r\nhello\r\n0\r\nX-A: b\nX-Poison: c\r\n\r\n"),
]

HEADS: list[Reply] = [
    reply("head/folded", *head(b"X-A: b\r\n c")),
    reply("head/folded-poison", *head(b"X-A: b\r\n X-Poison: 1"), forbid=(b"\r\n x-poison", b"\r\nx-poison")),
    reply("head/lf-in-value", *head(b"X-A: b\nX-B: c")),
    reply("head/cr-in-value", *head(b"X-A: b\rX-B: c"), forbid=(b"b\rx-b",)),
    reply("head/nul-in-value", *head(b"X-A: b\x00c"), forbid=(b"b\x00c",)),
    reply("head/space-before-colon", *head(b"X-A : b"), forbid=(b"x-a :",)),
    reply("head/space-in-name", *head(b"X A: b"), forbid=(b"x a:",)),
    reply("head/no-colon", *head(b"X-A b")),
    reply("head/no-name", *head(b": b")),
    reply("head/all-lf", b"HTTP/1.1 200 OK\nX-Origin-Id: @ID@\nContent-Length: 5\n\nhello"),
    reply("head/large", *head(b"X-A: " + b"a" * 500_000)),
    reply("head/many", *head(b"\r\n".join(b"X-%d: b" % n for n in range(5_000)))),
    reply("head/connection-names-length", *head(b"Connection: content-length")),
    reply("head/connection-names-encoding", OK + b"Connection: transfer-encoding\r\n" + CHUNKED + b"0\r\n\r\n"),
    reply("head/never-ends", OK, close=True, whole=False),
    reply("start/no-reason", *start(b"HTTP/1.1 200")),
    reply("start/status-letters", *start(b"HTTP/1.1 abc OK"), close=True),
    reply("start/status-two-digits", *start(b"HTTP/1.1 99 OK"), close=True),
    reply("start/status-four-digits", *start(b"HTTP/1.1 2000 OK"), close=True),
    reply("start/status-1000", *start(b"HTTP/1.1 1000 OK"), close=True),
    reply("start/version-2.0", *start(b"HTTP/2.0 200 OK"), close=True),
    reply("start/version-0.9", b"hello without a status line", close=True),
    reply("start/cr-in-reason", *start(b"HTTP/1.1 200 O\rK"), close=True),
    reply("start/nothing", close=True, whole=False),
]

INTERIM: list[Reply] = [
    reply("interim/100-unasked", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + HELLO),
    reply("interim/flood", b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000 + OK + HELLO),
    reply("interim/flood-of-hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5_000 + OK + HELLO),
    reply("interim/with-length", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK + HELLO),
    reply("interim/with-chunked", b"HTTP/1.1 103 Early Hints\r\n" + CHUNKED + OK + HELLO),
    # nobody asked for another protocol: what follows is no tunnel
    reply("interim/101-unasked", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    reply("interim/only", b"HTTP/1.1 103 Early Hints\r\n\r\n", close=True, whole=False),
]

BODY = b"Content-Length: 65536\r\n"
EARLY: list[Reply] = [
    reply(
        "early/answer-then-drain", OK + HELLO, method=b"POST", headers=BODY, body=b"a" * 65_536, early=True
    ),
    reply(
        "early/answer-then-close", OK + b"Connection: close\r\n" + HELLO, method=b"POST", headers=BODY,
        body=b"a" * 65_536, early=True, close=True,
    ),
    reply("early/answer-body-stalls", OK + HELLO, method=b"POST", headers=BODY, body=b"a" * 100, early=True),
]

REPLIES: list[Reply] = [*GOOD, *TWO, *FRAMING, *HEADS, *INTERIM, *EARLY]
