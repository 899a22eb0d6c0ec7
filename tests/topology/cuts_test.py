"""The network between two hosts goes away without a word, and comes back: who does not need it goes on, who does fails in
an orderly way, and everybody works again within five seconds.
"""

import itertools
import json
import os
import sys
import time
import unittest

from app import App, Traffic
from topology_test import SERVICES, Topology

#: Everything that can be cut from everything else; both replicas of the control plane count as one.
PARTS = ("gateway", *SERVICES, "platform", "control", "postgres")
#: Whose requests need what is between the two.
NEEDED = {frozenset(("gateway", service)): {service} for service in SERVICES}
NEEDED |= {frozenset((service, "postgres")): {service} for service in SERVICES}
#: What is cut in a short run: each kind of thing that can be missing once.
SHORT = [("gateway", "data"), ("data", "postgres"), ("data", "platform"), ("gateway", "control")]
#: Seconds: in a full run longer than the longest deadline, where somebody waits for one.
CUT, LONG = 3.0, 35.0
RECOVERED = 5.0


class Cuts(Topology):
    """Every pair in turn."""

    def test_every_pair(self) -> None:
        app = self.app()
        pairs = list(itertools.combinations(PARTS, 2)) if os.environ.get("FULL") else SHORT
        for one, other in pairs:
            with self.subTest(f"{one} and {other}"):
                needing = NEEDED.get(frozenset((one, other)), set())
                seconds = LONG if needing and os.environ.get("FULL") else CUT
                self.heals(app)
                traffics = [Traffic(app, (service,), threads=1) for service in SERVICES]
                ends = list(itertools.product(self.part(one), self.part(other)))
                for traffic in traffics:
                    traffic.__enter__()
                for a, b in ends:
                    self.installation.network.cut(a.host, b.host)
                time.sleep(seconds)
                for a, b in ends:
                    self.installation.network.heal(a.host, b.host)
                took = self.heals(app)
                for traffic in traffics:
                    traffic.__exit__()
                failed = [answer for traffic in traffics for answer in traffic.failed()]
                said = {(answer.service, answer.status) for answer in failed}
                total = sum(len(traffic.answers) for traffic in traffics)
                print(f"{one} | {other}: {total} asked, {said or 'none failed'}, {took:.2f} s", file=sys.stderr)
                self.assertLessEqual({answer.service for answer in failed}, needing)
                for answer in failed:
                    self.assertIn(answer.status, (503, 504), answer)
                    json.loads(answer.body)
                self.assertLessEqual(took, RECOVERED)

    def part(self, name: str) -> list:
        return [one for each, one in self.installation.containers.items() if each.split("-")[0] == name]

    def heals(self, app: App) -> float:
        """Seconds until everything works."""
        begun = time.monotonic()
        for ask in App.ASKS.values():
            while ask(app)[0] != 200:
                self.assertLess(time.monotonic() - begun, 60)
        return time.monotonic() - begun


if __name__ == "__main__":
    unittest.main()
