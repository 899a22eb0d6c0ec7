"""The example overlay as a cluster would have it: pods, what they are called, and who selects them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import kustomize
from kustomize import Document

K8S = Path(__file__).resolve().parent.parent.parent / "deploy/k8s"
BASE, EXAMPLE = K8S / "base", K8S / "overlays/example"
BINARY = "/meshbase"
MEMBERS = ("gateway", "platform", "auth", "data", "storage")
CALLED = ("platform", "auth", "data", "storage")


@dataclass(frozen=True)
class Pod:
    """What a Deployment or StatefulSet makes."""

    name: str
    owner: Document
    labels: Document
    spec: Document

    def __hash__(self) -> int:
        return hash(self.name)

    def containers(self) -> list[Document]:
        return kustomize.containers(self.spec)

    def container(self, name: str) -> Document:
        (found,) = [one for one in self.containers() if one["name"] == name]
        return found

    def ports(self) -> dict[str, int]:
        """The ports of all containers, by name."""
        ports = [port for one in self.containers() for port in one.get("ports", [])]
        assert len({port["name"] for port in ports}) == len(ports), self.name
        return {port["name"]: port["containerPort"] for port in ports}

    def volume(self, name: str) -> Document:
        claims = [one["metadata"] for one in self.owner["spec"].get("volumeClaimTemplates", [])]
        (found,) = [one for one in self.spec.get("volumes", []) + claims if one["name"] == name]
        return found


@cache
def example() -> tuple[Document, ...]:
    return tuple(kustomize.build(EXAMPLE))


def of(*kinds: str) -> list[Document]:
    return [one for one in example() if one["kind"] in kinds]


@cache
def pods() -> dict[str, Pod]:
    found = {}
    for owner in of("Deployment", "StatefulSet"):
        name, template = owner["metadata"]["name"], owner["spec"]["template"]
        found[name] = Pod(name, owner, template["metadata"]["labels"], template["spec"])
    return found


def variables(container: Document) -> dict[str, str]:
    names = [one["name"] for one in container.get("env", [])]
    assert len(set(names)) == len(names), names
    return {one["name"]: one["value"] for one in container.get("env", [])}


def role(container: Document) -> str | None:
    """What of the binary a container runs; nothing for another program."""
    command = container.get("command", [])
    return command[1] if command[:1] == [BINARY] else None


def secret_files(pod: Pod, container: Document) -> dict[str, str]:
    """The files of secrets that a container sees, and the secret of each."""
    files = {}
    for mount in container["volumeMounts"]:
        source = pod.volume(mount["name"]).get("secret")
        for item in source["items"] if source else []:
            files[f"{mount['mountPath']}/{item['path']}"] = f"{source['secretName']}/{item['key']}"
    return files


def selects(selector: Document, labels: Document) -> bool:
    """Whether a selector of labels, which selects everything when empty, selects these."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()
