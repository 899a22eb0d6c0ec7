"""Certificates that must not be believed, at both ends of mutual TLS, and why in the proxy's log.

usage: tls_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import greeter
import sidecar as mesh
from certs import TRUST_DOMAIN, Ca, Pair
from harness import Folder, Suite, check, equal, free_port, wait_for
from sidecar import sni
from targets import tls
from wired import arguments
from wrong import Wrong

suite = Suite("tls")
REQUEST = b"GET /hello HTTP/1.1\r\nHost: served.mesh\r\nConnection: close\r\n\r\n"


class World:
    """A service behind an inbound port, and a caller of servers that are not what they should be."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.folder, self.ca = folder, Ca(folder)
        self.foreign = Ca(folder, "foreign")
        self.program = greeter.Server(("127.0.0.1", 0), greeter.Handler)
        threading.Thread(target=self.program.serve_forever, daemon=True).start()
        self.inbound = free_port()
        services = {"served": mesh.service([mesh.unary(3_000)], ["client"], self.inbound)}
        self.wrong = self.servers()
        for name, server in self.wrong.items():
            services[name] = mesh.service([mesh.unary(3_000)], ["client"], server.port)
        self.port = free_port()
        given: dict[str, Any] = {"inbound": self.inbound, "program": self.program.server_address[1]}
        self.running = [mesh.Sidecar(binary, folder, self.ca, "served", services, **given)]
        try:
            listeners = [mesh.outbound(self.port)]
            self.running.append(mesh.Sidecar(binary, folder, self.ca, "client", services, listeners=listeners))
        except Exception:
            self.running[0].stop()
            raise

    def servers(self) -> dict[str, Wrong]:
        """A server for each way to be wrong, and one that is right."""
        foreign, ca = self.foreign, self.ca
        other_domain = ca.issue("other-domain", ["spiffe://other.test/other-domain"])
        both = ca.issue("two-ids", [f"spiffe://{TRUST_DOMAIN}/two-ids", f"spiffe://{TRUST_DOMAIN}/client"])
        return {
            "right": Wrong(ca.identity("right"), ca),
            "expired": Wrong(ca.expired("expired"), ca),
            "not-yet": Wrong(ca.not_yet("not-yet"), ca),
            "foreign": Wrong(foreign.identity("foreign-server"), ca),
            "somebody-else": Wrong(ca.identity("a-neighbour"), ca),
            "other-domain": Wrong(other_domain, ca),
            "no-uri": Wrong(ca.issue("no-uri", [], dns=("no-uri.mesh", "no-uri")), ca),
            "two-ids": Wrong(both, ca),
            "old-tls": Wrong(ca.identity("old-tls"), ca, ssl.TLSVersion.TLSv1_2),
            "no-tls": Wrong(None, ca),
        }

    def log_of(self, number: int, since: int) -> str:
        """What a proxy said since then."""
        return self.running[number].said()[since:]

    def served(self) -> int:
        """How many requests the program has seen."""
        return int(greeter.served["requests"])

    def call(self, context: ssl.SSLContext | None, name: str | None = sni("served")) -> bytes:
        """Connects to the inbound port by hand and asks; the answer, empty if there is no connection."""
        with socket.create_connection(("127.0.0.1", self.inbound), 10) as plain:
            try:
                stream = context.wrap_socket(plain, server_hostname=name) if context else plain
                stream.sendall(REQUEST)
                answer = b""
                while got := stream.recv(65_536):
                    answer += got
                return answer
            except OSError:
                return b""

    def client(self, pair: Pair | None, ca: Ca | None = None) -> ssl.SSLContext:
        """A TLS client that shows this certificate."""
        return tls(ca or self.ca, pair, "http/1.1")


def refused(world: World, context: ssl.SSLContext | None, words: str, name: str | None = sni("served")) -> None:
    """The inbound side answers nothing, the program sees nothing, and the log says why."""
    before, mark = world.served(), len(world.running[0].said())
    answer = world.call(context, name)
    check(not answer.startswith(b"HTTP/1.1 2"), f"it was answered: {answer[:60]!r}")
    equal(world.served(), before, "the requests that the program saw")

    def said() -> bool:
        return re.search(words, world.log_of(0, mark), re.IGNORECASE) is not None

    # after ten lines of one kind the log takes one a second: a peer that goes on is told of
    for _ in range(5):
        try:
            return wait_for(said, f"/{words}/ in the log", 1.5)
        except TimeoutError:
            world.call(context, name)
    raise AssertionError(f"no /{words}/ in the log; it said {world.log_of(0, mark)[-200:]!r}")


@suite.test
def inbound_takes_a_good_certificate(world: World) -> None:
    answer = world.call(world.client(world.ca.identity("client", file="by-hand")))
    check(answer.startswith(b"HTTP/1.1 200"), f"{answer[:100]!r}")


@suite.test
def inbound_refuses_an_expired_certificate(world: World) -> None:
    refused(world, world.client(world.ca.expired("client")), "expired")


@suite.test
def inbound_refuses_a_certificate_that_is_not_yet_valid(world: World) -> None:
    refused(world, world.client(world.ca.not_yet("client")), "not yet|not valid")


@suite.test
def inbound_refuses_a_certificate_of_a_foreign_root(world: World) -> None:
    refused(world, world.client(world.foreign.identity("client", file="foreign-client")), "root|issuer|unknown")


@suite.test
def inbound_refuses_a_certificate_without_an_id(world: World) -> None:
    pair = world.ca.issue("nobody", [], dns=("client", "client.mesh"))
    refused(world, world.client(pair), "identity|spiffe")


@suite.test
def inbound_refuses_a_certificate_with_two_ids(world: World) -> None:
    ids = [f"spiffe://{TRUST_DOMAIN}/client", f"spiffe://{TRUST_DOMAIN}/served"]
    refused(world, world.client(world.ca.issue("two", ids)), "identity|spiffe")


@suite.test
def inbound_refuses_a_caller_of_another_trust_domain(world: World) -> None:
    pair = world.ca.issue("client-elsewhere", ["spiffe://other.test/client"])
    refused(world, world.client(pair), "other.test")


@suite.test
def inbound_refuses_a_service_that_no_policy_lets_in(world: World) -> None:
    pair = world.ca.identity("neighbour")
    answer = world.call(world.client(pair))
    check(answer.startswith(b"HTTP/1.1 403"), f"{answer[:100]!r}")
    refused(world, world.client(pair), "neighbour")


@suite.test
def inbound_refuses_who_shows_no_certificate(world: World) -> None:
    refused(world, world.client(None), "certificate")


@suite.test
def inbound_refuses_tls_1_2(world: World) -> None:
    context = world.client(world.ca.identity("client", file="by-hand"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    refused(world, context, "1\\.3|version")


@suite.test
def inbound_refuses_a_service_that_is_not_here(world: World) -> None:
    context = world.client(world.ca.identity("client", file="by-hand"))
    refused(world, context, "elsewhere", sni("elsewhere"))
    refused(world, context, "server name|sni|named no service", None)


@suite.test
def inbound_refuses_what_is_no_tls(world: World) -> None:
    refused(world, None, "handshake|tls|corrupt|invalid|message")


def not_called(world: World, service: str, words: str) -> None:
    """The outbound side sends nothing to that server, answers 503, and the log says why."""
    server, mark = world.wrong[service], len(world.running[1].said())
    with socket.create_connection(("127.0.0.1", world.port), 20) as stream:
        stream.sendall(REQUEST.replace(b"served", service.encode()))
        answer = b""
        while got := stream.recv(65_536):
            answer += got
    check(server.accepted, "the server was not connected to")
    equal(server.received, [], "what the server received")
    check(answer.startswith(b"HTTP/1.1 503"), f"{answer[:100]!r}")
    check(b"unreachable" in answer, f"the cause in {answer[-300:]!r}")

    def said() -> bool:
        return re.search(words, world.log_of(1, mark), re.IGNORECASE) is not None

    try:
        wait_for(said, f"/{words}/ in the log", 5)
    except TimeoutError as error:
        raise AssertionError(f"{error}; it said {world.log_of(1, mark)[-200:]!r}") from None


@suite.test
def outbound_speaks_to_a_server_that_is_right(world: World) -> None:
    server = world.wrong["right"]
    with socket.create_connection(("127.0.0.1", world.port), 20) as stream:
        stream.sendall(REQUEST.replace(b"served", b"right"))
        wait_for(lambda: server.received, "the first bytes of the request")


@suite.test
def outbound_refuses_an_expired_server(world: World) -> None:
    not_called(world, "expired", "certificate.*expired")


@suite.test
def outbound_refuses_a_server_that_is_not_yet_valid(world: World) -> None:
    not_called(world, "not-yet", "not yet|not valid")


@suite.test
def outbound_refuses_a_server_of_a_foreign_root(world: World) -> None:
    not_called(world, "foreign", "root|issuer")


@suite.test
def outbound_refuses_another_service_at_that_address(world: World) -> None:
    not_called(world, "somebody-else", "a-neighbour")


@suite.test
def outbound_refuses_a_server_of_another_trust_domain(world: World) -> None:
    not_called(world, "other-domain", "other.test")


@suite.test
def outbound_refuses_a_server_without_an_id(world: World) -> None:
    not_called(world, "no-uri", "identity|spiffe")


@suite.test
def outbound_refuses_a_server_with_two_ids(world: World) -> None:
    not_called(world, "two-ids", "identity|spiffe")


@suite.test
def outbound_refuses_a_server_that_speaks_tls_1_2(world: World) -> None:
    not_called(world, "old-tls", "1\\.3|version")


@suite.test
def outbound_refuses_a_server_without_tls(world: World) -> None:
    not_called(world, "no-tls", "tls|handshake|connection")


@suite.test
def a_renewed_certificate_is_shown_without_a_restart(world: World) -> None:
    context = world.client(world.ca.identity("client", file="by-hand"))

    def serial() -> bytes | None:
        with socket.create_connection(("127.0.0.1", world.inbound), 10) as plain:
            with context.wrap_socket(plain, server_hostname=sni("served")) as stream:
                return stream.getpeercert(binary_form=True)

    before = serial()
    # the same files, as who renews would write them
    renewed = world.ca.identity("served", file="served-renewed")
    renewed.key.replace(world.folder / "served.key")
    renewed.certificate.replace(world.folder / "served.pem")
    wait_for(lambda: serial() != before, "the renewed certificate", 30)
    check(world.call(context).startswith(b"HTTP/1.1 200"), "no answer under the renewed certificate")


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    with Folder() as folder:
        world = World(given.binary, folder)
        try:
            return suite.run(world, given.only)
        finally:
            for one in reversed(world.running):
                one.stop()


if __name__ == "__main__":
    sys.exit(main())
