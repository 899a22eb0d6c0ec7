"""How much work a request is: a closed loop through one proxy, and through a pair with mutual TLS between."""

import sys

from . import ours, peers, wrk
from .report import Section, Target
from .setting import Contender, Setting

RATE, EFFICIENCY = "requests/s", "requests per CPU-second"
COLUMNS = {RATE: ",.0f", "p50 ms": ".2f", "p99 ms": ".2f", "CPU µs per request": ".1f", EFFICIENCY: ",.0f"}
WARM_UP_SECONDS = 1.0


def plain(setting: Setting) -> Section:
    """One proxy, HTTP/1.1 in and out."""
    title = f"One proxy, plain HTTP/1.1, one worker, 1 KB, {setting.connections} connections (closed loop)"
    section = Section("plain", title, COLUMNS, control=("direct", RATE))
    direct = peers.origin(setting)
    contenders = [direct]
    if setting.binary:
        contenders.append(ours.plain(setting, [direct.port]))
    contenders += [peers.envoy(setting, direct.port), peers.nginx(setting, direct.port)]
    _measure(setting, section, contenders)
    section.targets = _targets(section, over_envoy=1.5, per_cpu_second=15_000)
    return section


def pair(setting: Setting) -> Section:
    """Two proxies with mutual TLS and HTTP/2 between them; the CPU of both counts."""
    what = "A pair of proxies, HTTP/2 over mutual TLS 1.3 between, one worker each"
    title = f"{what}, 1 KB, {setting.connections} connections (closed loop)"
    section = Section("pair", title, COLUMNS, control=("direct", RATE))
    direct = peers.origin(setting)
    contenders = [direct]
    if setting.binary:
        contenders.append(ours.pair(setting, direct.port))
    contenders.append(peers.envoy_pair(setting, direct.port))
    _measure(setting, section, contenders)
    section.targets = _targets(section, over_envoy=1.2, per_cpu_second=5_000)
    return section


def _measure(setting: Setting, section: Section, contenders: list[Contender]) -> None:
    """Loads one contender after the other, and all of them again in each round."""
    for contender in contenders:
        contender.check()
        wrk.run(contender.port, WARM_UP_SECONDS, setting.connections, setting.folder)
    for number in range(setting.rounds):
        print(f"{section.name}: round {number + 1} of {setting.rounds}", file=sys.stderr)
        for contender in contenders:
            section.add(contender.name, _round(setting, contender))


def _round(setting: Setting, contender: Contender) -> dict[str, float]:
    before = contender.cpu_seconds()
    load = wrk.run(contender.port, setting.seconds, setting.connections, setting.folder)
    cpu = contender.cpu_seconds() - before
    return {
        RATE: load.requests / load.seconds,
        "p50 ms": load.p50_ms,
        "p99 ms": load.p99_ms,
        "CPU µs per request": cpu / load.requests * 1e6,
        EFFICIENCY: load.requests / cpu,
    }


def _targets(section: Section, over_envoy: float, per_cpu_second: int) -> list[Target]:
    ratio = section.ratio("ours", "envoy", EFFICIENCY)
    return [
        Target(f"{EFFICIENCY}, ours ÷ envoy", over_envoy, ratio, at_least=True),
        Target(f"{EFFICIENCY}, ours", per_cpu_second, section.median("ours", EFFICIENCY), at_least=True),
    ]
