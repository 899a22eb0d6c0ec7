"""Hosts of the test's own on one machine: a namespace each, joined by a bridge, and cuts between any two of them."""

import os
import subprocess
from dataclasses import dataclass

#: Nobody has this address: what is sent to it is lost without a word, as behind a cut cable.
NOBODY = "02:00:00:00:00:01"


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=not check)


@dataclass(frozen=True)
class Host:
    """One end: a network namespace and its address."""

    namespace: str
    address: str


class Network:
    """A bridge in a namespace of its own; this machine is on it too."""

    def __init__(self) -> None:
        self.name = f"mb{os.getpid()}"
        self.prefix = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
        self.hosts: list[Host] = []
        self.numbers = 1
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "add", "hub", "type", "bridge")
        ip("-n", self.name, "link", "set", "hub", "up")
        ip("link", "add", self.name, "type", "veth", "peer", "name", "host", "netns", self.name)
        ip("-n", self.name, "link", "set", "host", "master", "hub", "up")
        ip("addr", "add", f"{self.prefix}.1/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def host(self) -> Host:
        """One more, with an address that nobody had before."""
        self.numbers += 1
        number = self.numbers
        host = Host(f"{self.name}-{number}", f"{self.prefix}.{number}")
        ip("netns", "add", host.namespace)
        end = f"h{number}"
        ip("-n", self.name, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        ip("-n", self.name, "link", "set", end, "master", "hub", "up")
        ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        ip("-n", host.namespace, "link", "set", "eth0", "up")
        ip("-n", host.namespace, "link", "set", "lo", "up")
        self.hosts.append(host)
        return host

    def cut(self, one: Host, other: Host) -> None:
        """Nothing comes through between the two any more, either way, and nobody is told."""
        for here, there in ((one, other), (other, one)):
            neighbour = (there.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")
            ip("-n", here.namespace, "neigh", "replace", *neighbour)

    def heal(self, one: Host, other: Host) -> None:
        for here, there in ((one, other), (other, one)):
            ip("-n", here.namespace, "neigh", "del", there.address, "dev", "eth0")

    def remove(self, host: Host) -> None:
        self.hosts.remove(host)
        ip("netns", "del", host.namespace, check=False)

    def close(self) -> None:
        for host in self.hosts:
            ip("netns", "del", host.namespace, check=False)
        ip("link", "del", self.name, check=False)
        ip("netns", "del", self.name, check=False)
