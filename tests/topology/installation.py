"""The containers of docker-compose.yml as processes: the image's root as their own, read-only, as the image's user, each
on a host of its own. What to start, with what, and after what, is the file's to say; see compose.py.

Of PostgreSQL's image only what its entry point does is ours: the machine's own server runs.
"""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import compose
from network import Host, Network

HERE = Path(__file__).resolve().parent
PATIENCE = 60.0


def wait_until(what: str, holds, patience: float = PATIENCE):
    """Waits until `holds()` is true, and gives what it gave."""
    begun = time.monotonic()
    while not (answer := holds()):
        if time.monotonic() - begun > patience:
            raise TimeoutError(f"waited {patience:.0f} s in vain until {what}")
        time.sleep(0.02)
    return answer


class Image:
    """What `docker build` would make, from the same script."""

    def __init__(self, binary: Path, folder: Path):
        self.root = folder / "image"
        subprocess.run([compose.ROOT / "deploy/image/root", binary, self.root], check=True)
        final = (compose.ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
        user, group = re.search(r"^USER (\d+):(\d+)$", final, re.M).groups()
        self.user, self.group = int(user), int(group)
        self.entrypoint = json.loads(re.search(r"^ENTRYPOINT (.*)$", final, re.M).group(1))


class Container:
    """One container: started, started again when it ends if the file says so, stopped."""

    def __init__(self, installation: "Installation", service: compose.Service, name: str, host: Host):
        self.installation, self.service, self.name, self.host = installation, service, name, host
        self.folder = installation.folder / "containers" / name
        (self.folder / "work").mkdir(parents=True)
        self.own: dict[str, Path] = {}  # volumes that nobody else has
        self.log = self.folder / "log"
        self.process: subprocess.Popen | None = None
        self.is_to_run = False
        self.code: int | None = None
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> "Container":
        self.is_to_run = True
        self.keeper.start()
        return self

    def _keep(self) -> None:
        while self.is_to_run:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True)
            self.code = self.process.wait()
            if not self.service.restarts:
                break
            time.sleep(0.5)

    def _command(self) -> list[str]:
        (self.folder / "spec.json").write_text(json.dumps(self._spec(self.service.command)))
        return self._inside(self.folder / "spec.json")

    def _inside(self, spec: Path) -> list[str]:
        apart = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        program = [sys.executable, str(HERE / "container.py"), str(spec)]
        return ["ip", "netns", "exec", self.host.namespace, *apart, *program]

    def _spec(self, command: list[str], mounts: tuple = ()) -> dict:
        image = self.installation.image
        mounted = [self._mount(mount) for mount in self.service.mounts]
        if self.service.image.startswith("postgres:"):
            return self._postgres({one["target"]: Path(one["source"]) for one in mounted})
        hosts = self.folder / "hosts"
        hosts.write_text(self.installation.names())
        return {
            "image": str(image.root),
            "work": str(self.folder / "work"),
            "hosts": str(hosts),
            "mounts": mounted + list(mounts),
            "read_only": self.service.read_only,
            "user": image.user,
            "group": image.group,
            "command": image.entrypoint + command,
            "environment": self.service.environment,
        }

    def _postgres(self, volumes: dict[str, Path]) -> dict:
        """What the entry point of PostgreSQL's image does: makes the data folder once, then runs the command on it."""
        owner, binaries = pwd.getpwnam("postgres"), postgres_binaries()
        data, secrets = volumes["/var/lib/postgresql/data"], volumes["/secrets"]
        if not (data / "PG_VERSION").exists():
            os.chown(data, owner.pw_uid, owner.pw_gid)
            password = secrets / Path(self.service.environment["POSTGRES_PASSWORD_FILE"]).name
            copy = self.folder / "password"
            copy.write_text(password.read_text())
            os.chown(copy, owner.pw_uid, owner.pw_gid)
            make = [f"{binaries}/initdb", "--username=postgres", f"--pwfile={copy}", "--auth-host=scram-sha-256"]
            make += ["--auth-local=trust", "--no-sync", "-D", str(data)]
            as_owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            with self.log.open("ab") as log:
                subprocess.run(make, check=True, stdout=log, stderr=log, cwd="/", **as_owner)
            copy.unlink()
            with open(data / "pg_hba.conf", "a", encoding="ascii") as file:
                file.write("host all all all scram-sha-256\n")
        arguments = ["-D", str(data), "-c", "listen_addresses=*", "-c", "unix_socket_directories="]
        command = [f"{binaries}/postgres", *self.service.command[1:], *arguments]
        return {
            "image": None,
            "user": owner.pw_uid,
            "group": owner.pw_gid,
            "command": command,
            "environment": {"PATH": f"{binaries}:/usr/bin:/bin"},
        }

    def _mount(self, mount: compose.Mount) -> dict:
        source = None
        if mount.source is not None:
            source = self.installation.volume(mount.source, mount.target)
        elif not mount.is_tmpfs:
            source = self.own.get(mount.target) or self.installation.fresh(self.folder / "volume", mount.target)
            self.own[mount.target] = source
        said = {"target": mount.target, "options": mount.options, "read_only": mount.read_only}
        return {**said, "source": str(source) if source else None}

    def run(self, command: list[str], folders: dict[Path, str]) -> subprocess.CompletedProcess:
        """`docker-compose run --rm SERVICE COMMAND`, with folders of this machine mounted to read."""
        given = [{"source": str(a), "target": b, "read_only": True, "options": None} for a, b in folders.items()]
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps(self._spec(command, tuple(given))))
        return subprocess.run(self._inside(spec), capture_output=True, text=True, timeout=PATIENCE)

    def execute(self, command: list[str]) -> subprocess.CompletedProcess:
        """`docker exec`."""
        inside = ["nsenter", "--target", str(self.first()), "--net", "--pid", "--mount"]
        if not self.service.image.startswith("postgres:"):
            image = self.installation.image
            inside += ["--root", "--wd=/", f"--setgid={image.group}", f"--setuid={image.user}", "--"]
        else:
            inside += ["--", "env", f"PATH={postgres_binaries()}"]
        return subprocess.run([*inside, *command], capture_output=True, text=True, timeout=PATIENCE)

    def first(self) -> int:
        """The first process in the container."""
        outer = self.process.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        return int(children[0])

    def is_healthy(self) -> bool:
        try:
            return self.process is not None and self.execute(self.service.health).returncode == 0
        except (FileNotFoundError, IndexError):
            return False

    def signal(self, number: int) -> None:
        os.kill(self.first(), number)

    def kill(self) -> None:
        """`docker kill`; it starts again if the file says so."""
        self.signal(signal.SIGKILL)

    def stop(self) -> None:
        """`docker stop`: told to end, and killed when its grace is over."""
        self.is_to_run = False
        if self.process is not None and self.process.poll() is None:
            try:
                self.signal(signal.SIGTERM)
                self.process.wait(self.service.grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
            except (FileNotFoundError, IndexError, ProcessLookupError):
                pass
        self.keeper.join()


def postgres_binaries() -> str:
    """The folder of the newest server that this machine has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return str(found[-1]) if found else str(Path(shutil.which("postgres")).resolve().parent)


class Installation:
    """`docker-compose up -d --wait`, with `--scale` for services that are to run more than once."""

    def __init__(self, binary: Path, environment: dict[str, str], scale: dict[str, int] | None = None):
        self.folder = Path(tempfile.mkdtemp(prefix="meshbase-topology-"))
        self.folder.chmod(0o755)
        self.services = compose.read(environment)
        self.image = Image(binary, self.folder)
        self.network = Network()
        self.relays: list[subprocess.Popen] = []
        self.containers: dict[str, Container] = {}
        scale = scale or {}
        for service in self.services.values():
            for number in range(scale.get(service.name, 1)):
                self._add(service, number)

    def __enter__(self) -> "Installation":
        try:
            for name in self._in_order():
                self._start(name)
            for container in self.containers.values():
                if container.service.health:
                    wait_until(f"{container.name} is healthy", container.is_healthy)
        except BaseException:
            self.tell()
            self.__exit__()
            raise
        return self

    def tell(self) -> None:
        """The end of every container's log: for a run that went wrong."""
        for container in self.containers.values():
            if container.log.exists():
                lines = container.log.read_text(errors="replace").splitlines()[-15:]
                print(f"== {container.name}", *lines, sep="\n", file=sys.stderr)

    def __exit__(self, *_exception) -> None:
        for relay in self.relays:
            relay.kill()
            relay.communicate()
        stopping = [threading.Thread(target=one.stop) for one in self.containers.values() if one.keeper.ident]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, service: compose.Service, number: int) -> Container:
        name = service.name if number == 0 else f"{service.name}-{number + 1}"
        container = Container(self, service, name, self.network.host())
        self.containers[name] = container
        return container

    def _in_order(self) -> list[str]:
        """Services after those that they depend on."""
        order: list[str] = []

        def visit(name: str) -> None:
            for on in self.services[name].depends_on:
                visit(on)
            if name not in order:
                order.append(name)

        for name in self.services:
            visit(name)
        return order

    def _start(self, name: str) -> None:
        for on, condition in self.services[name].depends_on.items():
            before = self.of(on)[0]
            if condition == "service_healthy":
                wait_until(f"{on} is healthy", before.is_healthy)
            if condition == "service_completed_successfully":
                wait_until(f"{on} has ended", lambda: before.code is not None)
                if before.code:
                    raise RuntimeError(f"{on} ended with {before.code}: {before.log.read_text()}")
        for container in self.of(name):
            container.start()
            for address, port, target in container.service.ports:
                self._publish(address, port, container.host.address, target)

    def revive(self, name: str) -> None:
        """`docker start`: a container that was stopped, on the volumes that it had."""
        container = self.containers[name]
        container.keeper = threading.Thread(target=container._keep, daemon=True)
        container.start()

    def _publish(self, address: str, port: int, to: str, target: int) -> None:
        command = [sys.executable, str(HERE / "relay.py"), address, str(port), to, str(target)]
        relay = subprocess.Popen(command, stdout=subprocess.PIPE)
        relay.stdout.readline()
        self.relays.append(relay)

    def of(self, service: str) -> list[Container]:
        """The containers of a service."""
        return [one for one in self.containers.values() if one.service.name == service]

    def names(self) -> str:
        """The file of hosts, in place of the engine's name server."""
        lines = [f"{one.host.address} {one.service.name}" for one in self.containers.values()]
        return "\n".join(["127.0.0.1 localhost", *lines, ""])

    def volume(self, name: str, target: str) -> Path:
        """A named volume; see `fresh`."""
        folder = self.folder / "volumes" / name
        return folder if folder.exists() else self.fresh(folder, target)

    def fresh(self, folder: Path, target: str) -> Path:
        """A new volume. Its content and its owner are those of the image's folder where it is mounted first."""
        folder = folder if not folder.exists() else Path(tempfile.mkdtemp(dir=folder.parent))
        folder.mkdir(parents=True, exist_ok=True)
        there = self.image.root / target.lstrip("/")
        if there.exists():
            subprocess.run(["cp", "--archive", f"{there}/.", folder], check=True)
        return folder

    def run(self, service: str, *command: str, folders: dict[Path, str] | None = None) -> subprocess.CompletedProcess:
        """`docker-compose run --rm SERVICE COMMAND`."""
        number = sum(1 for name in os.listdir(self.folder / "containers") if name.startswith(f"{service}-run"))
        container = Container(self, self.services[service], f"{service}-run-{number}", self.network.host())
        try:
            return container.run(list(command), folders or {})
        finally:
            self.network.remove(container.host)

    def scale(self, service: str, count: int) -> None:
        """`docker-compose up -d --scale SERVICE=COUNT`, upwards."""
        for number in range(len(self.of(service)), count):
            container = self._add(self.services[service], number).start()
            wait_until(f"{container.name} is healthy", container.is_healthy)

    def mesh(self, *arguments: str) -> dict | list:
        """`docker-compose exec control-1 /meshbase mesh …`."""
        answer = self.containers["control-1"].execute(["/meshbase", "mesh", "--output", "json", *arguments])
        return json.loads(answer.stdout)
