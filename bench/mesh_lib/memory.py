"""What an inbound proxy takes: idle, and with a thousand peers that only keep their connection."""

import sys
from collections.abc import Callable

from . import ours, peers, resting
from .report import Section, Target
from .setting import Contender, Setting

CONNECTIONS = 1_000
IDLE, RESTING = "idle, MB", f"{CONNECTIONS:,} connections, MB"


def measure(setting: Setting) -> Section:
    """Anonymous memory of a fresh process in each round."""
    title = "Anonymous memory of the inbound proxy; the connections are mutual TLS and HTTP/2 at rest"
    section = Section("memory", title, {IDLE: ".1f", RESTING: ".1f"})
    direct = peers.origin(setting)
    contenders: list[Callable[[Setting, int], Contender]] = [peers.envoy_inbound]
    if setting.binary:
        contenders.insert(0, ours.inbound)
    for number in range(setting.rounds):
        print(f"memory: round {number + 1} of {setting.rounds}", file=sys.stderr)
        for start in contenders:
            contender = start(setting, direct.port)
            section.add(contender.name, _figures(setting, contender))
    section.targets = [
        Target(f"ours, {IDLE}", 15, section.median("ours", IDLE)),
        Target(f"ours, {RESTING}", 30, section.median("ours", RESTING)),
    ]
    return section


def _figures(setting: Setting, contender: Contender) -> dict[str, float]:
    (process,) = contender.processes
    idle = process.anonymous_mb()
    certificates = setting.certificates()
    peak = resting.peak_mb(process, contender.port, CONNECTIONS, certificates, ours.server_name())
    process.stop()
    return {IDLE: idle, RESTING: peak}
