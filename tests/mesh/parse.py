"""A parser of HTTP/1.1 heads, lengths and chunks that names everything in which another parser could differ."""

from __future__ import annotations

import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
START = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-\"$-~]+) HTTP/(1\.[01])")
STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [\t -~\x80-\xff]*")
HEAD_END = re.compile(rb"\r?\n\r?\n")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t -~]*)?")
# fields of framing, routing and trust that mean something else at the end of a body (RFC 9110 §6.5.1)
NOT_IN_TRAILERS = {b"content-length", b"transfer-encoding", b"host", b"authorization", b"connection", b"te"}

Header = tuple[bytes, bytes]


class Malformed(Exception):
    """Where the message ends is anybody's guess."""


def headers_of(lines: list[bytes], odd: list[str]) -> list[Header]:
    """The fields of a head; what is odd about them goes to `odd`."""
    found: list[Header] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            odd.append(f"a folded line {line[:40]!r}")
            continue
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            odd.append(f"a bad field name {name[:40]!r}")
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            odd.append(f"a control character in {name[:40]!r}")
        found.append((name.lower().strip(), value.strip(b" \t")))
    return found


def head_lines(head: bytes, odd: list[str]) -> list[bytes]:
    """The lines of a head that ends in an empty line."""
    if re.search(rb"(?<!\r)\n", head):
        odd.append("a line that ends in LF alone")
    if re.search(rb"\r(?!\n)", head):
        odd.append("a CR inside of a line")
    return re.split(rb"\r?\n", HEAD_END.sub(b"", head))


def length_of(headers: list[Header], version: bytes, odd: list[str]) -> int | None:
    """The length of a body by these fields: a number, or `None` for chunks."""
    encodings = [value for name, value in headers if name == b"transfer-encoding"]
    lengths = [value for name, value in headers if name == b"content-length"]
    if encodings and lengths:
        odd.append("Transfer-Encoding and Content-Length")
    if len(lengths) > 1:
        odd.append("Content-Length twice")
    if lengths and not (re.fullmatch(rb"[0-9]{1,20}", lengths[0]) and int(lengths[0]) < 1 << 64):
        odd.append(f"Content-Length {lengths[0][:40]!r}")
    if encodings:
        if version == b"1.0":
            odd.append("Transfer-Encoding in HTTP/1.0")
        if len(encodings) > 1 or encodings[0].lower() != b"chunked":
            odd.append(f"Transfer-Encoding {b' and '.join(encodings)[:60]!r}")
        # what most servers would do with it
        if b"chunked" in encodings[-1].lower():
            return None
        raise Malformed("an encoding that is not chunked")
    if not lengths:
        return 0
    digits = re.match(rb"[0-9]{1,20}", lengths[0])
    if not digits:
        raise Malformed("a length that is no number")
    return int(digits[0])


def chunk_size(line: bytes, odd: list[str]) -> int:
    """The size in the first line of a chunk, given with its end."""
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        odd.append("a chunk line with a bare CR or LF")
    text = line.rstrip(b"\r\n")
    found = SIZE.fullmatch(text)
    if not found:
        odd.append(f"a chunk size {text[:40]!r}")
        raise Malformed("a chunk size that is no number")
    return int(found[1], 16)


def trailers_of(lines: list[bytes], odd: list[str]) -> list[Header]:
    """The fields after the last chunk."""
    found = headers_of(lines, odd)
    for name, _ in found:
        if name in NOT_IN_TRAILERS:
            odd.append(f"{name.decode()} as a trailer")
    return found


def request_line(line: bytes, headers: list[Header], odd: list[str]) -> tuple[bytes, bytes, bytes]:
    """Method, target and version; and whether `Host` fits them."""
    found = START.fullmatch(line)
    if not found:
        odd.append(f"a request line {line[:80]!r}")
        parts = (line.split(b" ") + [b"", b""])[:3]
        return parts[0], parts[1], b"1.1"
    method, target, version = found[1], found[2], found[3]
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == b"1.1"):
        odd.append(f"{len(hosts)} Host fields")
    if hosts and not re.fullmatch(rb"([!$&'()*+;=%._~0-9A-Za-z-]+|\[[0-9A-Fa-f:.]+\])?(:[0-9]*)?", hosts[0]):
        odd.append(f"Host {hosts[0][:40]!r}")
    absolute = re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)", target)
    if absolute and hosts and absolute[1] != hosts[0]:
        odd.append(f"the target {target[:40]!r} and Host {hosts[0][:40]!r}")
    return method, target, version
