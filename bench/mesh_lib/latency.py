"""What a proxy adds to a request's time when nobody is in a hurry: an open loop at a fixed rate."""

import sys

from . import open_loop, ours, peers
from .report import Section, Target
from .setting import Contender, Setting

RATE = 1_000
CONNECTIONS = 16
WARM_UP_SECONDS = 0.5
COLUMNS = {"p50 ms": ".3f", "p99 ms": ".3f", "added p50 ms": ".3f", "added p99 ms": ".3f"}


def measure(setting: Setting) -> Section:
    """Direct, through one proxy, and through a pair; what is added is the distance from direct."""
    title = f"Latency from the intended send time, {RATE:,} requests/s, {CONNECTIONS} connections (open loop)"
    section = Section("latency", title, COLUMNS, control=("direct", "p50 ms"))
    contenders = _contenders(setting)
    for contender in contenders.values():
        contender.check()
    for number in range(setting.rounds):
        print(f"latency: round {number + 1} of {setting.rounds}", file=sys.stderr)
        direct = (0.0, 0.0)
        for name, contender in contenders.items():
            p50, p99 = _quantiles(setting, contender)
            values = {"p50 ms": p50, "p99 ms": p99}
            if name == "direct":
                direct = (p50, p99)
            else:
                values |= {"added p50 ms": p50 - direct[0], "added p99 ms": p99 - direct[1]}
            section.add(name, values)
    for what, proxies in (("ours", 1), ("ours, pair", 2)):
        for quantile, limit in (("added p50 ms", 0.10), ("added p99 ms", 0.50)):
            target = Target(f"{quantile}, {what}", limit * proxies, section.median(what, quantile))
            section.targets.append(target)
    return section


def _contenders(setting: Setting) -> dict[str, Contender]:
    direct = peers.origin(setting)
    contenders = {"direct": direct}
    if setting.binary:
        contenders["ours"] = ours.plain(setting, [direct.port])
    contenders["envoy"] = peers.envoy(setting, direct.port)
    if setting.binary:
        contenders["ours, pair"] = ours.pair(setting, direct.port)
    contenders["envoy, pair"] = peers.envoy_pair(setting, direct.port)
    return contenders


def _quantiles(setting: Setting, contender: Contender) -> tuple[float, float]:
    latencies = open_loop.latencies_ms(contender.port, RATE, setting.seconds, CONNECTIONS, WARM_UP_SECONDS)
    return open_loop.quantile(latencies, 0.50), open_loop.quantile(latencies, 0.99)
