"""A protocol of its own behind an upgrade, for what WebSockets do not do: half-closed connections and early bytes."""

from __future__ import annotations

import socket
import threading

from harness import check
from wired import Pair


class Bare:
    """A server of a protocol of its own: it sends once the other side has finished sending."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """One connection after the other."""
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(4096)
                data = data.split(b"\r\n\r\n", 1)[1]
                answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bare\r\n\r\nfirst;"
                connection.sendall(answer)
                while got := connection.recv(4096):
                    data += got
                connection.sendall(b"got %d bytes;" % len(data) + b"x" * 200_000)


def bare(pair: Pair, early: bytes, later: bytes) -> bytes:
    """Upgrades, sends, finishes sending, and reads to the end."""
    server = Bare(pair.program)
    try:
        with socket.create_connection(("127.0.0.1", pair.port), 20) as client:
            head = b"GET /bare HTTP/1.1\r\nHost: served.mesh\r\nConnection: Upgrade\r\nUpgrade: bare\r\n\r\n"
            client.sendall(head + early)
            data = b""
            while b"first;" not in data:
                got = client.recv(65_536)
                check(got, f"the connection ended after {data[:200]!r}")
                data += got
            check(data.startswith(b"HTTP/1.1 101"), f"{data[:100]!r}")
            client.sendall(later)
            client.shutdown(socket.SHUT_WR)
            while got := client.recv(65_536):
                data += got
            return data.split(b"first;", 1)[1]
    finally:
        # only this wakes the thread that accepts, which would keep the port
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
