"""HTTP/2 frames and header blocks as bytes, with no opinion on what may be in them (RFC 9113 §4, RFC 7541 §6.2.2)."""

from __future__ import annotations

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def integer(value: int, prefix: int) -> bytes:
    """An HPACK integer whose first byte has no other bits set (RFC 7541 §5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([value])
    out = [limit]
    value -= limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def block(fields: list[Field]) -> bytes:
    """A header block of literals that leave the table alone."""
    literal = lambda text: integer(len(text), 7) + text  # noqa: E731
    return b"".join(b"\x00" + literal(name) + literal(value) for name, value in fields)


def head(stream: int, fields: list[Field], end: bool) -> bytes:
    """HEADERS, with CONTINUATIONs where one frame is too small."""
    whole = block(fields)
    parts = [whole[at : at + 16_384] for at in range(0, len(whole), 16_384)] or [b""]
    out = []
    for number, part in enumerate(parts):
        flags = END_HEADERS if number == len(parts) - 1 else 0
        if number == 0:
            out.append(frame(HEADERS, flags | (END_STREAM if end else 0), stream, part))
        else:
            out.append(frame(CONTINUATION, flags, stream, part))
    return b"".join(out)


def data(stream: int, payload: bytes, end: bool = True) -> bytes:
    """One DATA frame."""
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def request(path: bytes = b"/case", method: bytes = b"GET", *more: Field) -> list[Field]:
    """The fields of an ordinary request."""
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"origin.mesh")]
    return [*pseudo, *more]
