"""PostgreSQL by psycopg over an opaque TCP route through two proxies.

usage: postgres_test.py [--binary PATH] [--only TEXT]
"""

from __future__ import annotations

import glob
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

import sidecar as mesh
from harness import Process, Suite, check, equal, wait_for
from wired import Pair, arguments

suite = Suite("postgres")
COPIED = 50 * 1024 * 1024
LINE = b"x" * 1023 + b"\n"


def binaries() -> Path:
    """The folder of the newest server on this machine."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres") + glob.glob("/usr/pgsql-*/bin/postgres")
    found += glob.glob(os.path.expanduser("~/.cache/meshbase/postgres/*/bin/postgres"))
    found += glob.glob("/var/cache/meshbase/postgres/*/bin/postgres")
    on_path = shutil.which("postgres")
    if not found and not on_path:
        raise FileNotFoundError("no PostgreSQL server; tests/setup/postgres installs one")
    return Path(sorted(found)[-1] if found else str(on_path)).parent


class Database:
    """A server with a folder and, as root, a user of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.data = folder, port, folder / "data"
        self.user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        initdb = [str(binaries() / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run([*self.user, *initdb], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        self.start()

    def start(self) -> None:
        """Starts the server; it is ready when this returns."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        run = [*self.user, str(binaries() / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            run += ["-c", f"{name}={value}"]
        self.process = Process("postgres", run, self.folder)
        self.process.await_true(lambda: connected(self.port), "its answer", 30)

    def kill(self) -> None:
        """Ends it without a word to anybody."""
        self.process.signal(9)
        self.process.ended()
        wait_for(lambda: not connected(self.port), "the end of the server's children")


def connect(port: int, **more: Any) -> psycopg.Connection[Any]:
    """A connection of its own; TLS inside of the mesh is the mesh's."""
    return psycopg.connect(
        host="127.0.0.1", port=port, user="postgres", dbname="postgres", sslmode="disable",
        connect_timeout=5, autocommit=True, **more,
    )


def connected(port: int) -> bool:
    """Whether a query is answered there."""
    try:
        with connect(port) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


class World:
    """A database behind two proxies."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.database = Database(pair.folder, pair.program)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection through the proxies."""
        return connect(self.pair.port)


@suite.test
def queries_are_answered(world: World) -> None:
    with world.connect() as connection:
        connection.execute("CREATE TABLE points (id int PRIMARY KEY, word text)")
        with connection.transaction():
            cursor = connection.cursor()
            cursor.executemany("INSERT INTO points VALUES (%s, %s)", [(n, f"word {n}") for n in range(1000)])
        equal(connection.execute("SELECT count(*), sum(id) FROM points").fetchone(), (1000, 499500), "the sums")
        equal(len(connection.execute("SELECT * FROM points").fetchall()), 1000, "the rows")


@suite.test
def a_failed_statement_keeps_its_words_and_the_connection(world: World) -> None:
    with world.connect() as connection:
        try:
            connection.execute("SELECT 1 / 0")
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero as error:
            equal(error.sqlstate, "22012", "the code")
        equal(connection.execute("SELECT 2").fetchone(), (2,), "the next answer")


@suite.test
def twenty_connections_work_at_once(world: World) -> None:
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            with world.connect() as connection:
                for turn in range(50):
                    equal(connection.execute("SELECT %s + %s", (number, turn)).fetchone(), (number + turn,), "a sum")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check(not errors, f"{len(errors)} of 20 failed: {errors[:1]}")


@suite.test
def fifty_mebibytes_are_copied_in_and_out(world: World) -> None:
    with world.connect() as connection:
        connection.execute("CREATE TABLE copied (line text)")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for _ in range(COPIED // len(LINE) // 64):
                copy.write(LINE * 64)
        equal(connection.execute("SELECT sum(length(line) + 1) FROM copied").fetchone(), (COPIED,), "the bytes in")
        digest, size = hashlib.sha256(), 0
        with connection.cursor().copy("COPY copied TO STDOUT") as copy:
            for part in copy:
                digest.update(part)
                size += len(part)
        equal(size, COPIED, "the bytes out")
        equal(digest.hexdigest(), hashlib.sha256(LINE * (COPIED // len(LINE))).hexdigest(), "their sum")


@suite.test
def a_notification_arrives_at_once(world: World) -> None:
    with world.connect() as listener, world.connect() as sender:
        listener.execute("LISTEN news")
        begun = time.monotonic()
        sender.execute("SELECT pg_notify('news', 'hello')")
        got = list(listener.notifies(timeout=5, stop_after=1))
        equal([(note.channel, note.payload) for note in got], [("news", "hello")], "the notifications")
        check(time.monotonic() - begun < 1, "it took longer than a second")


@suite.test
def a_query_is_cancelled_over_a_second_connection(world: World) -> None:
    with world.connect() as connection:
        with world.connect() as watcher:
            pid = connection.info.backend_pid
            running = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"

            def cancel() -> None:
                wait_for(lambda: watcher.execute(running, (pid,)).fetchone(), "the query to run")
                connection.cancel_safe(timeout=5)

            thread = threading.Thread(target=cancel)
            thread.start()
            begun = time.monotonic()
            try:
                connection.execute("SELECT pg_sleep(30)")
                raise AssertionError("it was not cancelled")
            except psycopg.errors.QueryCanceled:
                check(time.monotonic() - begun < 10, "it took longer than ten seconds")
            thread.join(10)
        equal(connection.execute("SELECT 3").fetchone(), (3,), "the next answer")


@suite.test
def a_client_that_goes_away_ends_its_session(world: World) -> None:
    with world.connect() as watcher:
        leaving = world.connect()
        pid = leaving.info.backend_pid
        leaving.close()
        there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_for(lambda: not watcher.execute(there, (pid,)).fetchone(), "the session's end", 5)


@suite.test
def a_killed_server_is_noticed_at_once_and_comes_back(world: World) -> None:
    connection = world.connect()
    world.database.kill()
    begun = time.monotonic()
    try:
        connection.execute("SELECT 1")
        raise AssertionError("a dead server answered")
    except psycopg.OperationalError:
        pass
    check(time.monotonic() - begun < 3, "a live connection took longer than three seconds to fail")
    begun = time.monotonic()
    check(not connected(world.pair.port), "a dead server answered")
    check(time.monotonic() - begun < 6, "a new connection took longer than six seconds to fail")
    world.database.start()
    wait_for(lambda: connected(world.pair.port), "the new server's answer through the proxies", 10)


def main() -> int:
    """Starts the proxies and runs the suite."""
    given = arguments(__doc__)
    with Pair(given.binary, [mesh.tcp()], "tcp", "db") as pair:
        world = World(pair)
        try:
            return suite.run(world, given.only)
        finally:
            world.database.process.signal(2)
            world.database.process.stop()


if __name__ == "__main__":
    sys.exit(main())
