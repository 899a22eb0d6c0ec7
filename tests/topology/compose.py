"""What docker-compose.yml says, as docker-compose itself reads it. Nothing is said here that the file says."""

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass
class Mount:
    """A volume, a folder or a tmpfs in a container. `source` is None where the container has it for itself."""

    target: str
    source: str | None = None
    read_only: bool = False
    options: str | None = None  # of a tmpfs

    @property
    def is_tmpfs(self) -> bool:
        return self.options is not None


@dataclass
class Service:
    """One service of the file."""

    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    mounts: list[Mount]
    depends_on: dict[str, str]
    ports: list[tuple[str, int, int]]  # address, port, port in the container
    health: list[str] | None
    health_interval: float
    grace: float
    read_only: bool
    restarts: bool
    privileges: dict = field(default_factory=dict)


def read(environment: dict[str, str], file: Path = ROOT / "docker-compose.yml") -> dict[str, Service]:
    """The services, with `environment` for what the file leaves to whoever starts it."""
    said = subprocess.run(
        ["docker-compose", "--file", file, "config"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise SystemExit(f"docker-compose does not take {file}:\n{said.stderr}")
    return {name: service(name, spec) for name, spec in yaml.safe_load(said.stdout)["services"].items()}


def service(name: str, spec: dict) -> Service:
    health = spec.get("healthcheck", {})
    test = health.get("test", [])
    given = {key: value for key, value in (spec.get("environment") or {}).items() if value is not None}
    return Service(
        name=name,
        image=spec["image"],
        command=words(spec.get("command", [])),
        environment={key: str(value) for key, value in given.items()},
        mounts=[mount(text) for text in spec.get("volumes", [])] + [tmpfs(text) for text in spec.get("tmpfs", [])],
        depends_on={on: how["condition"] for on, how in spec.get("depends_on", {}).items()},
        ports=[published(port) for port in spec.get("ports", [])],
        health=test[1:] if test[:1] == ["CMD"] else None,
        health_interval=seconds(health.get("interval", "30s")),
        grace=seconds(spec.get("stop_grace_period", "10s")),
        read_only=spec.get("read_only", False),
        restarts=spec.get("restart", "no") != "no",
        privileges={key: spec.get(key) for key in ("user", "init", "cap_drop", "security_opt")},
    )


def words(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


def mount(text: str) -> Mount:
    """`[source:]target[:ro]`, as it is after docker-compose read it."""
    parts = text.split(":")
    if len(parts) == 1:
        return Mount(target=parts[0])
    return Mount(source=parts[0], target=parts[1], read_only="ro" in parts[2:])


def tmpfs(text: str) -> Mount:
    target, _, options = text.partition(":")
    return Mount(target=target, options=options)


def published(port: str | dict) -> tuple[str, int, int]:
    if isinstance(port, dict):
        return port.get("host_ip", "0.0.0.0"), int(port["published"]), int(port["target"])
    address, host, target = port.removesuffix("/tcp").split(":")
    return address, int(host), int(target)


def seconds(text: str) -> float:
    """`1m30s`."""
    total, number = 0.0, ""
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        unit = "ms" if rest.startswith("ms") else rest[:1]
        total, rest = total + float(number) * UNITS[unit], rest[len(unit) :]
    return total
