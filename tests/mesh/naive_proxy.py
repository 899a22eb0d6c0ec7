"""A proxy as it must not be: it believes Content-Length first and forwards what it was sent as it was sent.

usage: naive_proxy.py LISTEN_PORT UPSTREAM_PORT MARK
The smuggling suite runs against it to prove that the suite sees what it is for.
"""

import asyncio
import re
import sys

idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []


async def message(reader: asyncio.StreamReader, answer_to: bytes = b"") -> tuple[bytes, bytes]:
    """A head and its body, both as they came."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    if answer_to == b"HEAD" or (answer_to and re.match(rb"HTTP/1.1 (1..|204|304)", head)):
        return head, b""
    if length:
        return head, await reader.readexactly(int(length[1]))
    if not re.search(rb"(?i)\ntransfer-encoding:.*chunked", head):
        return head, b""
    body = b""
    while True:
        line = await reader.readuntil(b"\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return head, body


async def exchange(head: bytes, body: bytes) -> bytes:
    """Sends a request over a connection that may have served others, and brings the answer."""
    upstream = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    start, rest = head.split(b"\r\n", 1)
    upstream[1].write(start + b"\r\nX-Proxied: " + sys.argv[3].encode() + b"\r\n" + rest + body)
    answer = await asyncio.wait_for(message(upstream[0], start.split(b" ")[0] or b"GET"), 2)
    idle.append(upstream)
    return b"".join(answer)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client."""
    try:
        while True:
            writer.write(await exchange(*await message(reader)))
    except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError):
        writer.close()


async def main() -> None:
    """Serves until it is stopped."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
