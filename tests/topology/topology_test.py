"""What docker-compose.yml promises, tried on the processes that it names. See run."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

from app import App, Traffic
from installation import Installation, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "tests/fixtures/todos"
SERVICES = ("auth", "data", "storage")


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def begin(scale: dict[str, int] | None = None) -> Installation:
    """The file's containers, with the app's tables in the project `default`."""
    port = free_port()
    environment = {
        "MESHBASE_PORT": port,
        "MESHBASE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "MESHBASE_CONSOLE_PORT": free_port(),
        "MESHBASE_AUTH_ALLOW_AUTOCONFIRM": "true",
    }
    return Installation(Path(os.environ["BINARY"]), environment, scale)


def told(installation: Installation, *command: str) -> str:
    """What a command in the `init` container prints; the app's folder is there."""
    answer = installation.run("init", *command, folders={FOLDER: "/work"})
    if answer.returncode:
        raise AssertionError(f"{command}: {answer.stderr}")
    return answer.stdout


class Topology(unittest.TestCase):
    """Each class of tests has an installation of its own."""

    scale: dict[str, int] | None = None

    @classmethod
    def setUpClass(cls) -> None:
        cls.installation = begin(cls.scale).__enter__()
        cls.addClassCleanup(cls.installation.__exit__)
        told(cls.installation, "projects", "apply", "default", "--workdir", "/work")
        cls.info = json.loads(told(cls.installation, "status", "--json"))

    def app(self) -> App:
        return App(self.info["url"], self.info["anon_key"], self.info["service_role_key"])

    def targets(self) -> str:
        """Two projects, as the clients' suites take them."""
        made = told(self.installation, "projects", "create", "two", "--json", "--workdir", "/work")
        two, port = json.loads(made), self.info["url"].rsplit(":", 1)[1]
        keys = {"anon_key": two["publishable_key"], "service_role_key": two["secret_key"]}
        one = {**self.info, "name": "default", "url": f"http://default.localhost:{port}"}
        return json.dumps([one, {**keys, "name": "two", "url": f"http://two.localhost:{port}"}])


class Containers(Topology):
    """What the containers may do and see."""

    def test_the_platform_tells_where_everything_is(self) -> None:
        table = told(self.installation, "status")
        self.assertIn(self.info["url"], table)
        self.assertIn(self.info["anon_key"], table)
        self.assertIn("default", told(self.installation, "projects", "list"))

    def test_nobody_may_more_than_needed(self) -> None:
        for name, container in self.installation.containers.items():
            if name in ("init", "postgres"):
                continue
            for process in programs(container):
                status = Path(f"/proc/{process}/status").read_text()
                said = dict(re.findall(r"^(\w+):\t(.*)$", status, re.M))
                self.assertEqual(said["Uid"].split(), ["65532"] * 4, name)
                self.assertEqual((int(said["CapEff"], 16), int(said["CapBnd"], 16)), (0, 0), name)
                self.assertEqual(said["NoNewPrivs"], "1", name)
                root = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
                at_root = [line.split() for line in root if line.split()[4] == "/"]
                self.assertIn("ro", at_root[-1][5].split(","), name)

    def test_the_file_gives_no_rights(self) -> None:
        for name, service in self.installation.services.items():
            if name == "postgres":
                continue
            rights = service.privileges
            self.assertEqual(rights["cap_drop"], ["ALL"], name)
            self.assertEqual(rights["security_opt"], ["no-new-privileges:true"], name)
            self.assertEqual((rights["init"], rights["user"], service.read_only), (True, None, True), name)

    def test_each_secret_is_for_one_container(self) -> None:
        seen: dict[str, set[str]] = {}
        for name, service in self.installation.services.items():
            for variable in service.environment:
                self.assertNotRegex(variable, "(PASSWORD|TOKEN|SECRET|KEY)$")
            for mount in service.mounts:
                if mount.source and mount.source.endswith("-secrets"):
                    seen.setdefault(mount.source, set()).add(name.split("-")[0])
                    self.assertEqual(mount.read_only, name != "init")
        for volume, names in seen.items():
            self.assertEqual(names, {"init", volume.removesuffix("-secrets")})

    def test_what_was_made_once_stays(self) -> None:
        secrets = self.installation.folder / "volumes"
        before = {path: path.read_bytes() for path in secrets.glob("*-secrets/*")}
        self.assertEqual(len(before), 14)
        self.assertEqual(self.installation.run("init", "init", "--out", "/secrets").returncode, 0)
        self.assertEqual({path: path.read_bytes() for path in secrets.glob("*-secrets/*")}, before)
        for path in before:
            self.assertEqual(path.stat().st_mode & 0o77, 0, path)


class Clients(Topology):
    """The stock clients, and the graph that they leave."""

    def test_the_clients_and_the_graph(self) -> None:
        self.assertEqual(clients(self.targets()).returncode, 0)

        def edges() -> set[str]:
            graph = self.installation.mesh("graph")["edges"]
            inbound = [edge for edge in graph if edge["side"] == "inbound"]
            short = lambda edge, key: edge[key].removeprefix("spiffe://meshbase.local/")
            return {f"{short(one, 'source_identity')} > {short(one, 'destination_identity')}" for one in inbound}

        self.assertRegex(told(self.installation, "projects", "usage", "default"), r"^\d+ objects, \d+ bytes$")
        expected = {"gateway > auth", "gateway > data", "gateway > storage", "gateway > platform"}
        expected |= {f"{service} > platform" for service in SERVICES}
        expected |= {"data > auth", "storage > auth", "platform > storage"}
        wait_until("the graph shows who called whom", lambda: expected <= edges())
        self.assertEqual(self.installation.mesh("check")["problems"], [])


class Scaled(Topology):
    """Three of a service, of which one ends: nobody notices."""

    scale = {"data": 3}

    def test_one_of_three_is_killed_and_one_is_stopped(self) -> None:
        wait_until("three are found", lambda: len(found(self.installation, "data")) == 3)
        app, victims = self.app(), self.installation.of("data")
        with Traffic(app, ("data",), threads=4) as traffic:
            for number in (signal.SIGKILL, signal.SIGTERM):
                time.sleep(1)
                before = found(self.installation, "data")
                victims[1].signal(number)
                wait_until("it joined again", lambda: is_other(before, found(self.installation, "data")))
        self.assertEqual(traffic.failed(), [])
        self.assertGreater(len(traffic.answers), 100)

    def test_the_clients_go_on_while_one_is_killed(self) -> None:
        targets, app = self.targets(), self.app()
        suites = clients(targets, wait=False)
        victims = self.installation.of("data")
        while suites.poll() is None:
            # between two requests: one that a killed program has in its hands is lost, wherever it runs
            os.killpg(suites.pid, signal.SIGSTOP)
            try:
                time.sleep(0.5)
                victims[2].kill()
                # the gateway has read that its connections there are closed once it has answered anything after that
                app.rows()
            finally:
                os.killpg(suites.pid, signal.SIGCONT)
            with_patience(suites, 3)
        self.assertEqual(suites.returncode, 0)


class Independence(Topology):
    """Who is warm goes on without those that it once asked."""

    def test_warm_requests_need_neither_platform_nor_auth(self) -> None:
        app = self.app()
        self.assertEqual([ask(app)[0] for ask in App.ASKS.values()], [200, 200, 200])
        for name, others in (("platform", SERVICES), ("auth", ("data", "storage"))):
            with self.subTest(name), Traffic(app, others) as traffic:
                victim = self.installation.containers[name]
                victim.stop()
                time.sleep(5)
                self.installation.revive(name)
                wait_until(f"{name} is back", lambda: found(self.installation, name))
            self.assertEqual(traffic.failed(), [], name)
        self.assertEqual(app.person()[0], 200)


def clients(targets: str, wait: bool = True):
    command = [ROOT / "tests/clients/run", "--targets", targets]
    started = subprocess.Popen(command, start_new_session=True)
    if wait:
        started.wait()
    return started


def with_patience(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def programs(container) -> list[int]:
    """The processes in a container but its init."""
    first = container.first()
    below = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [int(process) for process in below]


def found(installation: Installation, service: str) -> list[str]:
    """The instances of a service that are known."""
    endpoints = installation.mesh("endpoints")["endpoints"]
    return sorted(one["instance"] for one in endpoints if one["service"] == service)


def is_other(before: list[str], after: list[str]) -> bool:
    return len(after) == len(before) and after != before


if __name__ == "__main__":
    unittest.main()
