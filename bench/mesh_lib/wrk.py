"""A closed loop: as many requests as a number of connections can carry, by wrk."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import BenchError

MARK = "measured "
DONE = """\
done = function(summary, latency)
  local bad = summary.errors
  io.write(string.format('%s{"requests":%%d,"microseconds":%%d,"p50":%%f,"p99":%%f,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run carried. Its latencies do not see the requests that a stall kept from being sent."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def run(port: int, seconds: float, connections: int, folder: Path, requests: str = "") -> Load:
    """Loads a loopback port by one thread; fails on any answer but 2xx and 3xx, or a broken connection.

    `requests` is Lua that says what to send; GET / without it.
    """
    script = folder / "wrk-done.lua"
    script.write_text(requests + DONE % MARK)
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    command = ["wrk", *options, f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    line = next((line for line in said.stdout.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise BenchError(f"wrk measured nothing: {said.stdout[-300:]}")
    result = json.loads(line.removeprefix(MARK))
    if result["errors"] or not result["requests"]:
        raise BenchError(f"{result['errors']} of {result['requests']} requests to port {port} failed")
    seconds = result["microseconds"] / 1e6
    return Load(result["requests"], seconds, result["p50"] / 1e3, result["p99"] / 1e3)
