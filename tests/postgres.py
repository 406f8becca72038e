"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from attrs import define, field
from processes import free_port

from onec_twisted.cluster.cursor import SharedCursor
from onec_twisted.cluster.postgresql import Number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
BINARIES = str(FOLDERS[0]) if FOLDERS else None
PATIENCE = 30


class _OneTransaction(SharedCursor):
    """A cursor of one transaction, in which no other begins or ends."""

    def execute(self, statement: str, args: Any = ()) -> SharedCursor:
        """Execute a statement."""
        return self if statement in ("BEGIN", "COMMIT") else super().execute(statement, args)


@define(eq=False)
class Server:
    """A server in a folder of its own, which nobody but a user without rights may run."""

    fsync: bool = False
    settings: dict[str, str] = field(factory=dict)
    port: int = field(factory=free_port)
    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="pg", dir="/tmp")))
    process: Any = field(default=None, init=False)
    _numbers: Iterator[int] = field(factory=itertools.count, init=False)

    @property
    def data(self) -> Path:
        """Return where the databases are."""
        return self.folder / "data"

    def lock(self, user: str) -> None:
        """Let a user in by password only, from now on."""
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.ask("SELECT pg_reload_conf()")

    def run(self, command: Sequence[str]) -> None:
        """Run a program of PostgreSQL's to its end."""
        subprocess.run(self._as_user(command), check=True, capture_output=True, cwd="/")

    def _as_user(self, command: Sequence[str]) -> list[str]:
        """Return a command as a user without rights runs it: PostgreSQL refuses root."""
        name, *args = command
        own = [f"{BINARIES}/{name}", *args]
        if os.geteuid():
            return own
        user = pwd.getpwnam("postgres")
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *own]

    def create(self) -> None:
        """Make the databases."""
        if not os.geteuid():
            shutil.chown(self.folder, "postgres", "postgres")
        self.run(
            [
                "initdb",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
                str(self.data),
            ]
        )

    def standby(self) -> Server:
        """Return a standby that follows this server, once it is started."""
        standby = Server(self.fsync, self.settings)
        if not os.geteuid():
            shutil.chown(standby.folder, "postgres", "postgres")
        self.run(
            ["pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-d", self.url("postgres"), "-D", str(standby.data)]
        )
        return standby

    def promote(self) -> None:
        """Let a standby take over."""
        self.run(["pg_ctl", "promote", "-w", "-D", str(self.data)])

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {"fsync": "on" if self.fsync else "off", "max_connections": "60", **self.settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._as_user(
                    ["postgres", "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", "", *options]
                ),
                stdout=log,
                stderr=log,
                cwd="/",
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """End it: by SIGQUIT as a crash does, whose recovery follows at the next start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def remove(self) -> None:
        """End it, and remove what it had."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return what a client connects to."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Make a database, yield its address, and remove it; it begins with what a template has."""
        name = f"test{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.ask(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def rolled_back(self) -> Iterator[SharedCursor]:
        """Yield a cursor in a transaction on empty tables, of which nothing stays."""
        with psycopg.connect(self.url("made"), autocommit=True) as connection:
            connection.adapters.register_loader("numeric", Number)
            connection.execute("BEGIN")
            for table in ("handoffs", "exchanges", "refusals"):
                connection.execute(f"ALTER SEQUENCE {table}_number_seq RESTART")
            with psycopg.ClientCursor(connection) as cursor:
                yield _OneTransaction(cursor)
            connection.execute("ROLLBACK")

    def ask(self, statement: str, database: str = "postgres") -> list[Any]:
        """Return what a statement returns."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
