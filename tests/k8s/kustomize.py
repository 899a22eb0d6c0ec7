"""What the kustomizations in deploy/k8s come to, built offline: the fields that they use, and no others."""

import copy
from pathlib import Path

import yaml

FILE = "kustomization.yaml"
FIELDS = {"apiVersion", "kind", "namespace", "resources", "images", "patches", "secretGenerator"}
CLUSTER_WIDE = {"Namespace"}

Document = dict


class Wrong(Exception):
    """A kustomization that could not be built, or would not do what it says."""


class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which the last would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise Wrong(f"{node.start_mark}: {', '.join(twice)} is there twice")
        return super().construct_mapping(node, deep)


def documents(path: Path) -> list[Document]:
    """The documents of one file."""
    return [document for document in yaml.load_all(path.read_text(), Strict) if document is not None]


def read(folder: Path) -> Document:
    """The kustomization of a folder."""
    (said,) = documents(folder / FILE)
    unknown = set(said) - FIELDS
    if unknown:
        raise Wrong(f"{folder / FILE}: {', '.join(unknown)} is not known here")
    return said


def listed(folder: Path) -> set[Path]:
    """The files of the folder itself that its kustomization names, beside the secrets."""
    said = read(folder)
    named = said.get("resources", []) + [patch["path"] for patch in said.get("patches", [])]
    return {folder / name for name in named if (folder / name).suffix == ".yaml"}


def build(folder: Path) -> list[Document]:
    """All documents. A generated secret has its keys, without the content, and its name as it is referred to."""
    said = read(folder)
    built: list[Document] = []
    for name in said.get("resources", []):
        path = (folder / name).resolve()
        built += build(path) if path.is_dir() else documents(path)
    built += [secret(spec) for spec in said.get("secretGenerator", [])]
    built = copy.deepcopy(built)
    for patch in said.get("patches", []):
        for part in documents(folder / patch["path"]):
            merge(find(built, part["kind"], part["metadata"]["name"]), part)
    for image in said.get("images", []):
        rename(built, image)
    if "namespace" in said:
        for document in built:
            if document["kind"] not in CLUSTER_WIDE:
                document["metadata"]["namespace"] = said["namespace"]
    once(built)
    return built


def find(built: list[Document], kind: str, name: str) -> Document:
    """The one document of that kind and name."""
    found = [one for one in built if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    if len(found) != 1:
        raise Wrong(f"there are {len(found)} of {kind} {name}")
    return found[0]


def secret(spec: Document) -> Document:
    keys = [Path(file).name for file in spec["files"]]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": spec["name"]},
        "data": {key: "" for key in keys},
    }


def merge(into: Document, patch: Document) -> None:
    """A strategic merge: of what has names, as containers and variables do, those of the same name become one."""
    for key, value in patch.items():
        there = into.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            merge(there, value)
        elif isinstance(there, list) and has_names(there) and has_names(value):
            for item in value:
                same = [one for one in there if one["name"] == item["name"]]
                merge(same[0], item) if same else there.append(item)
        else:
            into[key] = value


def has_names(items: list) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def rename(built: list[Document], image: Document) -> None:
    """Puts another place or tag of an image in force."""
    found = False
    for container in (one for pod in pod_specs(built) for one in containers(pod)):
        if container["image"].split(":")[0] == image["name"]:
            found = True
            container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    if not found:
        raise Wrong(f"no container has the image {image['name']}")


def pod_specs(built: list[Document]) -> list[Document]:
    return [one["spec"]["template"]["spec"] for one in built if "template" in one.get("spec", {})]


def containers(pod: Document) -> list[Document]:
    """The containers of a pod, those that begin first first."""
    return pod.get("initContainers", []) + pod["containers"]


def once(built: list[Document]) -> None:
    for one in built:
        find(built, one["kind"], one["metadata"]["name"])
