"""What the pods of deploy/k8s may do, and how a program and its sidecar find each other. See run."""

import unittest

import cluster
from cluster import CALLED, MEMBERS, Pod
from kustomize import Document

RESTRICTED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
OURS, POSTGRES = 65532, 999
PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
RUN = "/run/meshbase"


def members() -> list[tuple[Pod, Document, Document]]:
    """Each pod of the mesh with its sidecar and its program."""
    found = [cluster.pods()[name] for name in MEMBERS]
    return [(pod, pod.container("sidecar"), pod.container(pod.name)) for pod in found]


def mounts(pod: Pod, container: Document) -> dict[str, Document]:
    return {mount["mountPath"]: pod.volume(mount["name"]) for mount in container["volumeMounts"]}


def port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


class Rights(unittest.TestCase):
    """Nobody may more than needed."""

    def test_every_pod_is_an_ordinary_user_s(self) -> None:
        for pod in cluster.pods().values():
            with self.subTest(pod.name):
                user = POSTGRES if pod.name == "postgres" else OURS
                context = dict(pod.spec["securityContext"])
                context.pop("fsGroupChangePolicy", None)
                expected = {name: user for name in ("runAsUser", "runAsGroup", "fsGroup")}
                profile = {"seccompProfile": {"type": "RuntimeDefault"}}
                self.assertEqual(context, {"runAsNonRoot": True, **expected, **profile})
                self.assertIs(pod.spec["automountServiceAccountToken"], False)
                self.assertIs(pod.spec["enableServiceLinks"], False)
                self.assertEqual([key for key in pod.spec if key.startswith("host")], [])
                kinds = {kind for volume in pod.spec["volumes"] for kind in volume if kind != "name"}
                self.assertLessEqual(kinds, {"emptyDir", "secret", "persistentVolumeClaim"})

    def test_every_container_is_restricted_and_bounded(self) -> None:
        for pod in cluster.pods().values():
            for container in pod.containers():
                with self.subTest(pod.name, container=container["name"]):
                    self.assertEqual(container["securityContext"], RESTRICTED)
                    self.assertEqual(set(container["resources"]["requests"]), {"cpu", "memory"})
                    self.assertIn("memory", container["resources"]["limits"])

    def test_the_namespace_lets_nothing_else_in(self) -> None:
        (namespace,) = cluster.of("Namespace")
        labels = namespace["metadata"]["labels"]
        self.assertEqual(labels["pod-security.kubernetes.io/enforce"], "restricted")

    def test_no_two_pods_have_a_volume_in_common(self) -> None:
        volumes = [volume for pod in cluster.pods().values() for volume in pod.spec["volumes"]]
        claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
        claimed = [claim["claimName"] for claim in claims]
        there = [claim["metadata"]["name"] for claim in cluster.of("PersistentVolumeClaim")]
        self.assertEqual(sorted(claimed), sorted(there))


class Pods(unittest.TestCase):
    """A program and its sidecar."""

    def test_the_sidecar_begins_first_and_ends_last(self) -> None:
        for pod, sidecar, program in members():
            with self.subTest(pod.name):
                self.assertEqual(pod.spec["initContainers"], [sidecar])
                self.assertEqual(pod.spec["containers"], [program])
                self.assertEqual(sidecar["restartPolicy"], "Always")
                self.assertEqual(sidecar["command"], ["/meshbase", "sidecar", "--service", pod.name])
                self.assertEqual(program["command"], ["/meshbase", pod.name])

    def test_probes_ask_where_the_probes_are(self) -> None:
        asked = [(pod, sidecar) for pod, sidecar, _ in members()]
        control = cluster.pods()["control"]
        for pod, container in [*asked, (control, control.container("control"))]:
            for probe, path in PROBES.items():
                with self.subTest(pod.name, probe=probe):
                    get = container[probe]["httpGet"]
                    self.assertEqual(get, {"path": path, "port": "probes"})
            self.assertEqual(pod.ports()["probes"], 9440)
            said = cluster.variables(container).get("MESHBASE_PROBES", "0.0.0.0:9440")
            self.assertEqual(port(said), 9440)

    def test_the_program_drains_through_its_sidecar_before_it_is_told_to_stop(self) -> None:
        for pod, sidecar, program in members():
            with self.subTest(pod.name):
                socket = cluster.variables(sidecar)["MESHBASE_SIDECAR_ADMIN"]
                drain = ["/meshbase", "drain", "--admin", socket, "--wait"]
                drain += ["--after", "5"] if pod.name == "gateway" else []
                self.assertEqual(program["lifecycle"]["preStop"]["exec"]["command"], drain)
                # up to 12 s for the sidecar to drain, 10 for the program, and 15 for the sidecar to end
                self.assertGreater(pod.spec["terminationGracePeriodSeconds"], 12 + 10 + 15)

    def test_they_meet_at_the_same_sockets(self) -> None:
        for pod, sidecar, program in members():
            beside, own = cluster.variables(sidecar), cluster.variables(program)
            with self.subTest(pod.name):
                self.assertEqual(beside["MESHBASE_PROXY"], f"unix:{own['MESHBASE_OUTBOUND']}")
                if pod.name in CALLED:
                    self.assertEqual(beside["MESHBASE_PROGRAM"], own["MESHBASE_SERVE"])
                    self.assertEqual(beside["MESHBASE_READY"], "tcp")
                else:
                    self.assertNotIn("MESHBASE_PROGRAM", beside)
                    served = port(own["MESHBASE_SERVE"])
                    self.assertEqual(beside["MESHBASE_READY"], f"tcp:127.0.0.1:{served}")
                shared = mounts(pod, sidecar)[RUN]
                self.assertEqual(shared, mounts(pod, program)[RUN])
                self.assertEqual(shared["emptyDir"]["medium"], "Memory")

    def test_every_path_is_in_a_volume_that_the_container_has(self) -> None:
        for pod in cluster.pods().values():
            for container in pod.containers():
                folders = list(mounts(pod, container))
                for name, value in cluster.variables(container).items():
                    path = value.removeprefix("unix:")
                    if path.startswith("/"):
                        inside = [folder for folder in folders if f"{path}/".startswith(f"{folder}/")]
                        self.assertTrue(inside, f"{pod.name}: {container['name']}: {name}")

    def test_a_sidecar_s_keys_are_its_own(self) -> None:
        for pod, sidecar, program in members():
            state = mounts(pod, sidecar)["/var/lib/meshbase/sidecar"]
            self.assertIn("emptyDir", state, pod.name)
            self.assertNotIn(state, mounts(pod, program).values(), pod.name)

    def test_every_port_that_is_listened_on_is_said(self) -> None:
        listens = ("SERVE", "CONSOLE", "PROBES", "DEMAND_LISTEN")
        for pod in cluster.pods().values():
            for container in pod.containers():
                said = {one["containerPort"] for one in container.get("ports", [])}
                for name, value in cluster.variables(container).items():
                    if name.removeprefix("MESHBASE_") in listens and not value.startswith("unix:"):
                        self.assertIn(port(value), said, f"{pod.name}: {name}")

    def test_they_are_labelled_as_they_are_selected(self) -> None:
        for pod in cluster.pods().values():
            with self.subTest(pod.name):
                expected = {"app.kubernetes.io/name": pod.name, "app.kubernetes.io/part-of": "meshbase"}
                self.assertEqual(pod.owner["spec"]["selector"]["matchLabels"], expected)
                member = {"meshbase.io/mesh": "member"} if pod.name in MEMBERS else {}
                self.assertEqual(pod.labels, {**expected, **member})
                self.assertEqual(pod.owner["metadata"]["labels"], expected)
        for document in cluster.example():
            if document["kind"] != "Secret":
                label = document["metadata"]["labels"]["app.kubernetes.io/part-of"]
                self.assertEqual(label, "meshbase", document["metadata"]["name"])


class Replicas(unittest.TestCase):
    """How many there are of each."""

    def test_each_is_as_many_as_it_can_be(self) -> None:
        said = {name: pod.owner["spec"].get("replicas") for name, pod in cluster.pods().items()}
        scaled = {one["metadata"]["name"]: one["spec"] for one in cluster.of("HorizontalPodAutoscaler")}

        # a number beside a scaler's would undo its decision at every apply
        self.assertEqual({name for name, count in said.items() if count is None}, set(scaled))
        self.assertEqual(
            {name: count for name, count in said.items() if count is not None},
            {"control": 2, "platform": 1, "storage": 1, "postgres": 1},
        )
        for name, spec in scaled.items():
            self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), (2, 10), name)

    def test_several_are_spread_over_nodes(self) -> None:
        for name in ("control", "gateway", "auth", "data"):
            pod = cluster.pods()[name]
            (spread,) = pod.spec["topologySpreadConstraints"]
            self.assertEqual(spread["whenUnsatisfiable"], "ScheduleAnyway")
            self.assertEqual(spread["labelSelector"], pod.owner["spec"]["selector"])

    def test_one_volume_has_one_storage(self) -> None:
        storage = cluster.pods()["storage"]
        self.assertEqual(storage.owner["spec"]["strategy"], {"type": "Recreate"})
        volume = mounts(storage, storage.container("storage"))["/var/lib/meshbase/blobs"]
        self.assertIn("persistentVolumeClaim", volume)
        (claim,) = cluster.of("PersistentVolumeClaim")
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOnce"])

    def test_scalers_follow_the_demand_of_what_they_scale(self) -> None:
        for scaler in cluster.of("HorizontalPodAutoscaler"):
            target = scaler["spec"]["scaleTargetRef"]
            owner = cluster.pods()[target["name"]].owner
            self.assertEqual((target["apiVersion"], target["kind"]), (owner["apiVersion"], owner["kind"]))
            (metric,) = scaler["spec"]["metrics"]
            expected = {"name": "meshbase_demand", "selector": {"matchLabels": {"service": target["name"]}}}
            self.assertEqual(metric["external"]["metric"], expected)
            self.assertEqual(metric["external"]["target"]["type"], "AverageValue")

    def test_budgets_are_for_those_of_whom_there_are_several(self) -> None:
        covered = set()
        for budget in cluster.of("PodDisruptionBudget"):
            self.assertEqual(budget["spec"]["minAvailable"], 1)
            selector = budget["spec"]["selector"]
            selected = [pod.name for pod in cluster.pods().values() if cluster.selects(selector, pod.labels)]
            self.assertEqual(selected, [budget["metadata"]["name"]])
            covered.update(selected)
        self.assertEqual(covered, {"control", "gateway", "auth", "data"})


if __name__ == "__main__":
    unittest.main()
