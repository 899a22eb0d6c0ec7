"""`mesh schema` beside what is written: every example of docs/ and the installation's own file hold, wrong ones do not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from harness import ROOT, Suite, check
from wired import arguments

suite = Suite("schema")

SERVICE = {"kind": "Service", "name": "shop", "spec": {"routes": [{"kind": "unary", "deadline_ms": 1000}]}}
ROUTE = {"kind": "Route", "name": "list", "spec": {"service": "shop", "route": {"kind": "tcp", "idle_ms": 5}}}
FAULT = {"kind": "Fault", "name": "f", "spec": {"service": "shop", "route": "*", "fault": {"percent": 1, "abort": 503}}}

# what is changed in which document, and the path of the mistake
WRONG = [
    (SERVICE, "kind", "Planet", "kind"),
    (SERVICE, "name", 7, "name"),
    (SERVICE, "extra", 1, ""),
    (SERVICE, "spec/colour", "red", "spec"),
    (SERVICE, "spec/protocol", "http9", "spec/protocol"),
    (SERVICE, "spec/callers", "web", "spec/callers"),
    (SERVICE, "spec/routes/0/kind", "sometimes", "spec/routes/0/kind"),
    (SERVICE, "spec/routes/0/kind", "stream", "spec/routes/0"),
    (SERVICE, "spec/routes/0/idle_ms", 5, "spec/routes/0"),
    (SERVICE, "spec/routes/0/deadline_ms", -1, "spec/routes/0/deadline_ms"),
    (SERVICE, "spec/routes/0/deadline_ms", "1s", "spec/routes/0/deadline_ms"),
    (SERVICE, "spec/balancer", {"kind": "best"}, "spec/balancer/kind"),
    (SERVICE, "spec/discovery", {"dns": {}}, "spec/discovery"),
    (ROUTE, "spec/service", None, "spec/service"),
    (ROUTE, "spec/route/retry", {"backoff": 5}, "spec/route/retry"),
    (ROUTE, "spec/route/request_headers", {"set": ["a: b"]}, "spec/route/request_headers"),
    (FAULT, "spec/fault/delay", 5, "spec/fault"),
    (FAULT, "kind", "Fallback", "spec"),
]


class Yaml(yaml.SafeLoader):
    """YAML 1.2 as far as it matters here: `off` is a word, not a truth value."""


Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if first not in "oOyYnN" or not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class World:
    """Both schemas, as the binary prints them."""

    def __init__(self, binary: Path) -> None:
        self.document = self.printed(binary)
        self.file = self.printed(binary, "--file")

    @staticmethod
    def printed(binary: Path, *flags: str) -> Draft202012Validator:
        """A schema that is one."""
        command = [str(binary), "mesh", "schema", *flags]
        schema = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        Draft202012Validator.check_schema(schema)
        return Draft202012Validator(schema)

    def part(self, name: str) -> Draft202012Validator:
        """The schema of a part of a mesh file."""
        parts = self.file.schema["$defs"]
        return Draft202012Validator({"$defs": parts, **parts[name]})


def examples(page: str) -> list[tuple[str, object]]:
    """What the YAML of a page is of, and what it says."""
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"^```yaml ?(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(kind, document) for kind, block in found for document in yaml.load_all(block, Yaml)]


def mistakes(validator: Draft202012Validator, document: object) -> list[str]:
    """What is wrong with it: `a/b/0: why`."""
    errors = validator.iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]


@suite.test
def the_installations_own_mesh_holds(world: World) -> None:
    found = mistakes(world.file, yaml.load((ROOT / "mesh/defaults.yaml").read_text(), Yaml))
    check(not found, f"mesh/defaults.yaml: {found}")


@suite.test
def every_example_of_the_documentation_holds(world: World) -> None:
    seen = set()
    for page in ("mesh.md", "control.md"):
        for kind, document in examples(page):
            of_document = "kind" in document and "spec" in document
            of_list = isinstance(document, list)
            name = kind.capitalize() if kind else "Document" if of_document else "Mesh"
            seen.add(name)
            validator = world.document if of_document else world.part(kind.capitalize()) if kind else world.file
            for one in document if of_list else [document]:
                # a lone proxy's file needs its services; an excerpt leaves them out
                one = {"services": {}, **one} if name == "Mesh" else one
                found = mistakes(validator, one)
                check(not found, f"{page}, {name}: {found}")
    check(seen >= {"Service", "Route", "Sidecar", "Document", "Mesh"}, f"only {seen}")


@suite.test
def what_is_wrong_is_found_where_it_is(world: World) -> None:
    for document in (SERVICE, ROUTE, FAULT):
        check(not mistakes(world.document, document), f"{document['kind']} does not hold")
    for document, path, value, expected in WRONG:
        wrong = deepcopy(document)
        *folders, last = path.split("/")
        place = wrong
        for folder in folders:
            place = place[int(folder)] if isinstance(place, list) else place[folder]
        place[last] = value
        found = mistakes(world.document, wrong)
        check(found, f"{path} = {value!r} is not noticed")
        check(all(where.startswith(expected) for where in found), f"{path} = {value!r}: found at {found}")


@suite.test
def what_is_missing_is_found(world: World) -> None:
    for document in (SERVICE, ROUTE, FAULT):
        for key in ("kind", "name", "spec"):
            check(mistakes(world.document, {k: v for k, v in document.items() if k != key}), f"{key} is not missed")
    twice = {"kind": "tcp", "idle_ms": 5, "path": "/", "match": {"prefix": "/"}}
    check(mistakes(world.part("Route"), twice), "two ways to match are not noticed")


if __name__ == "__main__":
    given = arguments(__doc__)
    sys.exit(suite.run(World(given.binary), given.only))
