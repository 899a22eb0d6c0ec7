"""deploy/k8s says what Kubernetes and the binary know, and nothing else. See run."""

import re
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate

import cluster
import known
import kustomize
from cluster import BASE, EXAMPLE, K8S

# the first with sidecars that start before a program and end after it without being asked for, and the newest
VERSIONS = ["1.29", "1.37"]


def refusal(document: kustomize.Document, version: str = VERSIONS[-1]) -> str | None:
    """What Kubernetes' schema has against a document; a field that it does not know counts."""
    try:
        used = kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    # without a schema of its own a version would be checked as an older one
    assert used == version, f"there is no schema of {version}, {used} was used"
    return None


class Schema(unittest.TestCase):
    """Each document is one of Kubernetes' own."""

    def test_every_document_is_valid(self) -> None:
        for folder in (BASE, EXAMPLE):
            for document in kustomize.build(folder):
                for version in VERSIONS:
                    with self.subTest(folder.name, kind=document["kind"], version=version):
                        self.assertIsNone(refusal(document, version), document["metadata"]["name"])

    def test_what_is_wrong_is_refused(self) -> None:
        def data() -> kustomize.Document:
            return kustomize.find(kustomize.build(BASE), "Deployment", "data")

        self.assertIsNone(refusal(data()))
        wrong = data()
        wrong["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
        self.assertIn("imagePolicy", refusal(wrong) or "")
        wrong = data()
        wrong["spec"]["replicas"] = "two"
        self.assertIn("two", refusal(wrong) or "")
        wrong = data()
        del wrong["spec"]["selector"]
        self.assertIn("selector", refusal(wrong) or "")


class Kustomizations(unittest.TestCase):
    """What is there is used, and what is used is there."""

    def test_every_file_is_listed(self) -> None:
        for folder in (BASE, EXAMPLE):
            there = set(folder.glob("*.y*ml")) - {folder / kustomize.FILE}
            self.assertEqual(kustomize.listed(folder), there)

    def test_a_kustomization_that_does_nothing_is_refused(self) -> None:
        patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: nobody }\n"
        for said, expected in [
            ("patches: [{ path: patch.yaml }]", "0 of Deployment nobody"),
            ("images: [{ name: meshbasis, newTag: '1' }]", "meshbasis"),
            ("resource: []", "resource is not known"),
            ("namespace: a\nnamespace: b", "namespace is there twice"),
        ]:
            with tempfile.TemporaryDirectory() as name, self.assertRaisesRegex(kustomize.Wrong, expected):
                (Path(name) / "patch.yaml").write_text(patch)
                (Path(name) / kustomize.FILE).write_text(said)
                kustomize.build(Path(name))

    def test_everything_is_in_the_namespace_that_is_made(self) -> None:
        (namespace,) = cluster.of("Namespace")
        for document in cluster.example():
            if document is not namespace:
                self.assertEqual(document["metadata"]["namespace"], namespace["metadata"]["name"])

    def test_every_meshbase_container_has_the_overlay_s_image(self) -> None:
        (image,) = kustomize.read(EXAMPLE)["images"]
        for pod in cluster.pods().values():
            for container in pod.containers():
                expected = f"{image['newName']}:{image['newTag']}" if cluster.role(container) else None
                with self.subTest(pod.name, container=container["name"]):
                    self.assertEqual(container["image"], expected or "postgres:17-bookworm")

    def test_the_public_address_is_told_to_whom_it_concerns(self) -> None:
        told = {
            name: cluster.variables(pod.container(name)).get("MESHBASE_PUBLIC_URL")
            for name, pod in cluster.pods().items()
        }
        self.assertEqual({name for name, url in told.items() if url}, {"gateway", "platform"})
        self.assertEqual(told["gateway"], told["platform"])

    def test_secrets_are_not_for_the_repository(self) -> None:
        self.assertIn("overlays/*/secrets/", (K8S / ".gitignore").read_text().splitlines())


class Variables(unittest.TestCase):
    """A variable that a role does not read would do nothing, silently."""

    def test_every_variable_is_one_that_its_role_reads(self) -> None:
        for pod in cluster.pods().values():
            for container in pod.containers():
                role = cluster.role(container)
                given = {name for name in cluster.variables(container) if name.startswith("MESHBASE_")}
                with self.subTest(pod.name, container=container["name"]):
                    self.assertEqual(given - (known.variables(role) if role else set()), set())

    def test_the_sources_are_read(self) -> None:
        self.assertIn("MESHBASE_JOIN_TOKEN_FILE", known.variables("sidecar"))
        self.assertIn("MESHBASE_STORAGE_DIR", known.variables("storage"))
        self.assertNotIn("MESHBASE_STORAGE_DIR", known.variables("data"))

    def test_the_readme_names_no_other(self) -> None:
        everything = set().union(*map(known.variables, known.SOURCES))
        named = set(re.findall(r"MESHBASE_[A-Z0-9_]+", (K8S / "README.md").read_text()))
        self.assertEqual(named - everything, set())


class Secrets(unittest.TestCase):
    """The secrets are the files that `meshbase init` writes, and each container sees its own."""

    def test_the_overlay_takes_every_file_that_init_writes(self) -> None:
        taken = {}
        for secret in kustomize.read(EXAMPLE)["secretGenerator"]:
            folder = secret["name"].removesuffix("-secrets")
            taken[folder] = {Path(file).name for file in secret["files"]}
            for file in secret["files"]:
                self.assertEqual(Path(file).parent, Path("secrets") / folder)
        self.assertEqual(taken, known.secrets())

    def test_every_file_that_is_mounted_is_of_the_pod_s_own_secret(self) -> None:
        for pod in cluster.pods().values():
            own = {f"{pod.name}-secrets/{key}" for key in known.secrets()[pod.name]}
            mounted = set()
            for container in pod.containers():
                mounted |= set(cluster.secret_files(pod, container).values())
            self.assertEqual(mounted, own, pod.name)

    def test_every_file_that_a_container_sees_is_one_that_it_is_told_of(self) -> None:
        for pod in cluster.pods().values():
            for container in pod.containers():
                told = {path for path in cluster.variables(container).values() if path.startswith("/secrets/")}
                seen = set(cluster.secret_files(pod, container))
                self.assertEqual(told, seen, f"{pod.name}: {container['name']}")

    def test_they_are_for_whom_they_are_mounted_for(self) -> None:
        for pod in cluster.pods().values():
            for volume in pod.spec["volumes"]:
                if "secret" in volume:
                    self.assertEqual(volume["secret"]["defaultMode"], 0o400, pod.name)
                    self.assertTrue(volume["secret"]["items"], pod.name)
            for container in pod.containers():
                for mount in container["volumeMounts"]:
                    if "secret" in pod.volume(mount["name"]):
                        self.assertTrue(mount["readOnly"], pod.name)

    def test_only_the_sidecar_has_the_token_to_join_with(self) -> None:
        for name in cluster.MEMBERS:
            pod = cluster.pods()[name]
            own = {key.rsplit("/")[-1] for key in cluster.secret_files(pod, pod.container(name)).values()}
            sidecar = {
                key.rsplit("/")[-1] for key in cluster.secret_files(pod, pod.container("sidecar")).values()
            }
            self.assertEqual(sidecar, {"join.token"})
            expected = {"database.url", "master.key", "console.token"} if name == "platform" else set()
            self.assertEqual(own, expected, name)


if __name__ == "__main__":
    unittest.main()
