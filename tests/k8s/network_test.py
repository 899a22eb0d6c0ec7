"""Who reaches whom in deploy/k8s, by its Services and NetworkPolicies. See run."""

import unittest
from dataclasses import dataclass, field

import cluster
from cluster import CALLED, MEMBERS
from kustomize import Document

OWN = "kubernetes.io/metadata.name"


@dataclass
class Party:
    """One end of a connection: a pod of ours, or anything elsewhere."""

    namespace: Document
    labels: Document = field(default_factory=dict)
    is_ours: bool = False


def ours(name: str) -> Party:
    return Party({OWN: "meshbase"}, cluster.pods()[name].labels, True)


def elsewhere(labels: Document | None = None) -> Party:
    return Party({OWN: "elsewhere", **(labels or {})})


def reaches(source: Party, target: Party, port: int) -> bool:
    """Whether both sides' policies let a TCP connection through."""
    return passes("Egress", "to", source, target, port) and passes("Ingress", "from", target, source, port)


def passes(direction: str, peers: str, at: Party, other: Party, port: int) -> bool:
    """Whether the policies of the party `at` let through what it sends to the other, or gets from it."""
    if not at.is_ours:
        return True
    selecting = [
        policy["spec"]
        for policy in cluster.of("NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and cluster.selects(policy["spec"]["podSelector"], at.labels)
    ]
    rules = [rule for spec in selecting for rule in spec.get(direction.lower(), [])]
    return not selecting or any(allows(rule, peers, other, port) for rule in rules)


def allows(rule: Document, peers: str, other: Party, port: int) -> bool:
    tcp = [one for one in rule["ports"] if one["protocol"] == "TCP"]
    if not any(one["port"] == port for one in tcp):
        return False
    return peers not in rule or any(is_meant(peer, other) for peer in rule[peers])


def is_meant(peer: Document, other: Party) -> bool:
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        namespace = cluster.selects(peer["namespaceSelector"], other.namespace)
    else:
        namespace = other.namespace[OWN] == "meshbase"
    return namespace and cluster.selects(peer.get("podSelector", {}), other.labels)


class Services(unittest.TestCase):
    """A name leads to the pods behind it."""

    def test_each_selects_one_kind_of_pod_and_ports_that_it_has(self) -> None:
        for service in cluster.of("Service"):
            with self.subTest(service["metadata"]["name"]):
                selector = {"matchLabels": service["spec"]["selector"]}
                (pod,) = [pod for pod in cluster.pods().values() if cluster.selects(selector, pod.labels)]
                self.assertEqual(pod.name, service["metadata"]["name"])
                for port in service["spec"]["ports"]:
                    self.assertIn(port["targetPort"], pod.ports())

    def test_what_is_called_by_name_is_there(self) -> None:
        there = {
            f"{service['metadata']['name']}:{port['port']}": port["targetPort"]
            for service in cluster.of("Service")
            for port in service["spec"]["ports"]
        }
        for name in MEMBERS:
            told = cluster.variables(cluster.pods()[name].container("sidecar"))
            self.assertEqual(there[told["MESHBASE_CONTROL"]], "control")
            self.assertEqual(there[told["MESHBASE_JOIN"]], "join")
        self.assertEqual(there["gateway:80"], "http")
        # where `meshbase init` says that the database is, unless told otherwise
        self.assertEqual(there["postgres:5432"], "postgres")
        # as scaling.yaml tells an adapter
        self.assertEqual(there["control:9442"], "demand")
        console = cluster.variables(cluster.pods()["platform"].container("platform"))["MESHBASE_CONSOLE_URL"]
        self.assertEqual(there[f"platform:{console.rsplit(':', 1)[1]}"], "console")


class Policies(unittest.TestCase):
    """What is not said is closed."""

    def test_each_selects_somebody_and_names_somebody(self) -> None:
        for policy in cluster.of("NetworkPolicy"):
            spec, name = policy["spec"], policy["metadata"]["name"]
            rules = spec.get("ingress", []) + spec.get("egress", [])
            peers = [peer for rule in rules for key in ("from", "to") for peer in rule.get(key, [])]
            selectors = [peer["podSelector"] for peer in peers if "podSelector" in peer]
            for selector in [spec["podSelector"], *selectors]:
                found = [pod for pod in cluster.pods().values() if cluster.selects(selector, pod.labels)]
                self.assertTrue(found, f"{name}: {selector}")
            for kind in ("ingress", "egress"):
                self.assertTrue(kind not in spec or kind.capitalize() in spec["policyTypes"], name)

    def test_every_pod_is_closed_in_both_directions(self) -> None:
        closed = [
            one["spec"]
            for one in cluster.of("NetworkPolicy")
            if one["spec"]["policyTypes"] == ["Ingress", "Egress"] and len(one["spec"]) == 2
        ]
        for pod in cluster.pods().values():
            self.assertTrue(any(cluster.selects(spec["podSelector"], pod.labels) for spec in closed), pod.name)

    def test_pods_reach_each_other_where_the_mesh_needs_it_and_nowhere_else(self) -> None:
        expected = {(source, target, 9443) for source in MEMBERS for target in CALLED}
        expected |= {(source, "control", port) for source in MEMBERS for port in (9444, 9445)}
        expected |= {(source, "postgres", 5432) for source in ("control", *CALLED)}

        found = {
            (source, target, port)
            for source in cluster.pods()
            for target, pod in cluster.pods().items()
            for port in pod.ports().values()
            if reaches(ours(source), ours(target), port)
        }

        self.assertEqual(found, expected)

    def test_others_reach_the_gateway_and_who_watches_the_demand(self) -> None:
        def found(source: Party) -> set[tuple[str, int]]:
            return {
                (name, port)
                for name, pod in cluster.pods().items()
                for port in pod.ports().values()
                if reaches(source, ours(name), port)
            }

        self.assertEqual(found(elsewhere()), {("gateway", 54321)})
        watching = elsewhere({"meshbase.io/monitoring": "true"})
        self.assertEqual(found(watching), {("gateway", 54321), ("control", 9442)})
        # a label of ours on a pod of another namespace opens nothing
        pretender = Party({OWN: "elsewhere"}, cluster.pods()["data"].labels)
        self.assertEqual(found(pretender), {("gateway", 54321)})

    def test_a_database_elsewhere_is_reached_by_who_has_one(self) -> None:
        reached = {name for name in cluster.pods() if reaches(ours(name), elsewhere(), 5432)}
        self.assertEqual(reached, {"control", *CALLED})
        for name in cluster.pods():
            for port in (22, 53, 80, 443, 9443, 9444):
                self.assertFalse(reaches(ours(name), elsewhere(), port), f"{name}: {port}")

    def test_everybody_may_ask_for_names(self) -> None:
        names = Party({OWN: "kube-system"})
        for name in cluster.pods():
            self.assertTrue(reaches(ours(name), names, 53), name)
            self.assertFalse(reaches(ours(name), names, 443), name)


if __name__ == "__main__":
    unittest.main()
