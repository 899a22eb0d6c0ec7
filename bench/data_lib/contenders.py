"""The database and whoever serves it."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mesh_lib import store
from mesh_lib.process import BenchError, Process, accepts, free_port

from .tokens import SECRET

# who embeds what, and a role that sees every row
MORE = """
create role service nologin bypassrls; grant service to authenticator;
create table people(id uuid primary key, name text not null);
insert into people select ('00000000-0000-0000-0000-'||lpad(n::text,12,'0'))::uuid, 'person '||n from generate_series(0,999) n;
alter table todos add foreign key (user_id) references people;
grant all on people, todos to authenticated, service;
analyze;
"""
CONFIG = """
db-uri = "{uri}"
db-schemas = "public"
db-anon-role = "anon"
db-pool = {pool}
jwt-secret = "{secret}"
server-host = "127.0.0.1"
server-port = {port}
"""
# what `todos.sql` makes, in a project that has roles and auth.uid() already
PROJECT = """
create table todos(id bigint generated always as identity primary key, user_id uuid not null, title text not null,
    done boolean not null default false, created_at timestamptz not null default now());
insert into todos(user_id,title) select ('00000000-0000-0000-0000-'||lpad((i%1000)::text,12,'0'))::uuid, 'todo number '||i
    from generate_series(1,100000) i;
create index on todos(user_id);
alter table todos enable row level security;
create policy p on todos for all to authenticated using (user_id = (select auth.uid()));
analyze todos;
"""


@dataclass(frozen=True)
class Contender:
    """A server, with the process that is its own and the headers that it wants besides a token."""

    name: str
    port: int
    process: Process
    secret: str = SECRET
    headers: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    # whether its children are other programs
    alone: bool = False

    def cpu_seconds(self) -> float:
        """User and system time of the server itself so far."""
        return self.process.own_cpu_seconds() if self.alone else self.process.cpu_seconds()

    def anonymous_mb(self) -> float:
        """Its memory."""
        return self.process.own_anonymous_mb() if self.alone else self.process.anonymous_mb()


class Field:
    """Everything that runs: PostgreSQL with the todos, and the contenders as they are asked for."""

    def __init__(self, given: argparse.Namespace, folder: Path, running: ExitStack) -> None:
        self.given, self.folder, self._running = given, folder, running
        for program in ("wrk", "pgbench", "psql"):
            if not (store.binaries() / program).exists() and not shutil.which(program):
                raise SystemExit(f"{program} is not here")
        self.postgres, self.url = store.start(folder)
        running.callback(self.postgres.stop)
        self.sql((given.peers_dir / "todos.sql").read_text() + MORE)

    def sql(self, text: str) -> None:
        """Runs SQL as the superuser."""
        command = [self.tool("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url]
        subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)

    def tool(self, name: str) -> str:
        """One of PostgreSQL's programs."""
        path = store.binaries() / name
        return str(path if path.exists() else shutil.which(name))

    def login(self, user: str) -> str:
        """The database's URL for another login."""
        return self.url.replace("postgres@", f"{user}@", 1)

    def start(
        self,
        name: str,
        command: list[str],
        port: int,
        environment: dict[str, str] | None = None,
        running: ExitStack | None = None,
    ) -> Process:
        """Starts a server and waits until it listens; it ends with `running`, or with everything else."""
        process = Process(command, self.folder / f"{name}.log", environment)
        (running or self._running).callback(process.stop)
        process.wait_for(lambda: accepts(port), name, 60)
        return process

    @cached_property
    def ours(self) -> Contender:
        """The data service by itself, in the place of PostgREST."""
        return self.fresh(self._running)

    def fresh(self, running: ExitStack) -> Contender:
        """One more of them, which ends with `running`."""
        port = free_port()
        file = self.folder / f"meshbase-{port}.conf"
        pool = self.given.connections
        file.write_text(CONFIG.format(uri=self.login("authenticator"), pool=pool, secret=SECRET, port=port))
        command = [str(self.given.binary.resolve()), "data", "--config", str(file)]
        return Contender("meshbase data", port, self.start("meshbase", command, port, running=running))

    @cached_property
    def whole(self) -> Contender:
        """The data service behind the gateway, in one process."""
        project = self.folder / "project"
        (project / "supabase/migrations").mkdir(parents=True)
        (project / "supabase/config.toml").write_text('project_id = "bench"\n')
        (project / "supabase/migrations/20260101000000_todos.sql").write_text(PROJECT)
        port = free_port()
        command = [str(self.given.binary.resolve()), "up", "--json", "--ephemeral", "--workdir", str(project)]
        process = self.start("up", [*command, "--listen", f"127.0.0.1:{port}"], port)
        said: list[str] = []
        log = self.folder / "up.log"
        process.wait_for(lambda: bool(said or said.extend(re.findall(r"^\{.*\}$", log.read_text(), re.M))), "up", 60)
        keys = json.loads(said[0])
        headers = (("apikey", keys["anon_key"]),)
        return Contender("meshbase up", port, process, keys["jwt_secret"], headers, "/rest/v1", alone=True)

    @cached_property
    def postrust(self) -> Contender | None:
        """The published peer."""
        if not self.given.postrust:
            return None
        port = free_port()
        environment = {
            "PGRST_DB_URI": self.login("authenticator"),
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_JWT_SECRET": SECRET,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(port),
            "PGRST_DB_POOL": str(self.given.connections),
            "PGRST_COMPAT_MODE": "true",
        }
        return Contender("postrust", port, self.start("postrust", [str(self.given.postrust)], port, environment))

    @cached_property
    def pocketbase(self) -> tuple[Contender, str] | None:
        """PocketBase with the same todos in SQLite, and a token of one of its users."""
        if not self.given.pocketbase:
            return None
        port, data, program = free_port(), self.folder / "pocketbase", str(self.given.pocketbase)
        account = ("bench@example.com", "correct horse battery")
        subprocess.run([program, "superuser", "upsert", *account, f"--dir={data}"], check=True, capture_output=True)
        process = self.start("pocketbase", [program, "serve", f"--http=127.0.0.1:{port}", f"--dir={data}"], port)
        seed = [sys.executable, str(self.given.peers_dir / "pocketbase_seed.py"), f"http://127.0.0.1:{port}"]
        said = subprocess.run([*seed, *account, str(data)], check=True, capture_output=True, text=True)
        return Contender("PocketBase", port, process), said.stdout.strip()

    def pgbench(self, script: str, seconds: float) -> tuple[float, float]:
        """Transactions per second of a script, and how many there were."""
        command = [self.tool("pgbench"), "-n", "-M", "prepared", "-c", str(self.given.connections), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-f", str(self.given.peers_dir / script), self.login("authenticator")]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rate = re.search(r"^tps = ([\d.]+)", said, re.M)
        count = re.search(r"actually processed: (\d+)", said)
        if not rate or not count:
            raise BenchError(f"pgbench measured nothing: {said[-300:]}")
        return float(rate[1]), float(count[1])

    def costing(self, what: Callable[[], float]) -> tuple[float, float]:
        """What `what` counts, and PostgreSQL's CPU seconds meanwhile."""
        before = self.postgres.cpu_seconds()
        counted = what()
        return counted, self.postgres.cpu_seconds() - before
