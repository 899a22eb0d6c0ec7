"""Servers that a caller's proxy must not talk to."""

from __future__ import annotations

import socket
import ssl
import threading

from certs import Ca, Pair


class Wrong:
    """A server with some certificate, that counts connections on which anything arrives inside of TLS."""

    def __init__(self, pair: Pair | None, ca: Ca, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.received: list[bytes] = []
        self.accepted = 0
        self.context: ssl.SSLContext | None = None
        if pair:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pair.certificate, pair.key)
            self.context.maximum_version = newest
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(ca.file)
            self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """One connection after the other, until the listener is closed."""
        while True:
            try:
                plain = self.listener.accept()[0]
            except OSError:
                return
            self.accepted += 1
            plain.settimeout(5)
            try:
                stream = self.context.wrap_socket(plain, server_side=True) if self.context else plain
                with stream:
                    got = stream.recv(4096)
                    # without TLS what arrives must be the beginning of a handshake and no request
                    if got and not (self.context is None and got[:1] == b"\x16"):
                        self.received.append(got)
            except OSError:
                plain.close()
