"""What a slow endpoint among ten costs: peak-EWMA with two choices against one after the other."""

import sys
from pathlib import Path

from . import open_loop, ours
from .process import accepts, free_port
from .report import Section, Target
from .setting import Contender, Setting

ENDPOINTS = 10
SLOWED_MS = 200
RATE = 250
# the slow endpoint holds 25 requests/s for 0.2 s, so 5 at once, if every tenth request goes there
CONNECTIONS = 64
WARM_UP_SECONDS = 2.0
SLOW = "slow answers %"
COLUMNS = {"p50 ms": ".2f", "p99 ms": ".2f", SLOW: ".2f"}


def measure(setting: Setting) -> Section:
    """Both balancers by turns over the same ten endpoints."""
    title = f"Ten endpoints, one slower by {SLOWED_MS} ms, {RATE} requests/s (open loop)"
    # no control: noise is far below the delay, and could only hide what the better balancer gains
    section = Section("balance", title, COLUMNS)
    ports = _start_origins(setting)
    contenders = [Contender("direct, not slow", ports[-1], ())]
    if setting.binary:
        contenders += [ours.plain(setting, ports, kind, kind) for kind in ("peak_ewma", "round_robin")]
    for contender in contenders:
        contender.check()
    for number in range(setting.rounds):
        print(f"balance: round {number + 1} of {setting.rounds}", file=sys.stderr)
        for contender in contenders:
            section.add(contender.name, _figures(setting, contender))
    ratio = section.ratio("peak_ewma", "round_robin", "p99 ms")
    section.targets = [Target("p99, peak_ewma ÷ round_robin", 0.2, ratio)]
    return section


def _start_origins(setting: Setting) -> list[int]:
    ports = [free_port() for _ in range(ENDPOINTS)]
    command = [sys.executable, "-m", "mesh_lib.origins", str(SLOWED_MS), *map(str, ports)]
    process = setting.start("origins", command, {"PYTHONPATH": str(Path(__file__).parent.parent)})
    process.wait_for(lambda: all(map(accepts, ports)), "origins")
    return ports


def _figures(setting: Setting, contender: Contender) -> dict[str, float]:
    latencies = open_loop.latencies_ms(contender.port, RATE, setting.seconds, CONNECTIONS, WARM_UP_SECONDS)
    slow = sum(latency >= SLOWED_MS for latency in latencies) / len(latencies) * 100
    return {
        "p50 ms": open_loop.quantile(latencies, 0.50),
        "p99 ms": open_loop.quantile(latencies, 0.99),
        SLOW: slow,
    }
