"""The embedded stack keeps its data through every kind of end, and keeps it to itself."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from deploy.embedded import Embedded, EmbeddedInUseError, Urls

HOLDER = """
import signal, sys
from pathlib import Path
from deploy.embedded import Embedded
stack = Embedded(Path(sys.argv[1]))
stack.start()
print(stack.redis.pid, stack.postgres.pid, stack.redis.url, stack.postgres.url, flush=True)
signal.pause()
"""


@pytest.fixture
def stack() -> Iterator[Embedded]:
    """A stack that was not started yet, on a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tocsin-tests-") as folder:
        Path(folder).chmod(0o711)
        stack = Embedded(Path(folder) / "data")
        yield stack
        stack.erase()


@pytest.fixture
def holder(stack: Embedded) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the same stack; its first line says how to find it."""
    command = [sys.executable, "-c", HOLDER, str(stack.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_row_and_key_are_still_there_when_both_servers_were_killed(stack: Embedded) -> None:
    """A committed row and a written key outlive `kill -9`, and the addresses stay the same."""
    before = stack.start()
    remember(before)
    stack.redis.kill()
    stack.postgres.kill()
    stack.stop()

    after = stack.start()

    assert after == before
    assert_remembered(after)


def test_stack_starts_again_when_its_process_was_killed(stack: Embedded, holder: subprocess.Popen[str]) -> None:
    """The servers of a killed process end, and the next start finds their data."""
    left, urls = started(holder)
    remember(urls)
    holder.kill()
    holder.wait()

    assert_remembered(stack.start())

    assert not any(runs(pid) for pid in left)


def test_stack_starts_again_when_the_left_over_servers_are_frozen(
    stack: Embedded, holder: subprocess.Popen[str]
) -> None:
    """A server that cannot answer a signal is stopped all the same."""
    left, _ = started(holder)
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    holder.kill()
    holder.wait()

    stack.start()

    assert not any(runs(pid) for pid in left)


def test_second_start_is_refused_when_a_living_process_holds_the_folder(
    stack: Embedded, holder: subprocess.Popen[str]
) -> None:
    """Two stacks never share a folder, and the first goes on."""
    held, _ = started(holder)

    with pytest.raises(EmbeddedInUseError):
        stack.start()

    assert all(runs(pid) for pid in held)


def test_server_answers_again_on_its_port_when_it_was_thawed(stack: Embedded) -> None:
    """A frozen server times out, a thawed one goes on."""
    urls = stack.start()
    stack.redis.freeze()
    with redis.Redis.from_url(urls.redis_url, socket_timeout=0.2, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        stack.redis.thaw()

    with redis.Redis.from_url(urls.redis_url) as client:
        assert client.ping()


def test_postgres_starts_when_its_old_process_id_belongs_to_another_program(stack: Embedded) -> None:
    """A stale `postmaster.pid` that names a living stranger stops nothing."""
    stack.start()
    stack.postgres.kill()
    pid_file = stack.postgres.working_folder / "postmaster.pid"
    pid_file.write_text(f"{os.getppid()}\n" + pid_file.read_text().split("\n", 1)[1])

    stack.postgres.start()

    assert stack.postgres.pid is not None


def test_another_port_is_chosen_when_somebody_took_the_old_one(stack: Embedded) -> None:
    """A start does not fail because its remembered port is in use."""
    old = stack.start()
    stack.stop()
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(stack.redis.port)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()

        new = stack.start()
        stranger.kill()

    assert new.redis_url != old.redis_url
    assert new.database_url == old.database_url


def test_data_is_closed_to_others_when_the_stack_runs(stack: Embedded) -> None:
    """Nobody but the owners can list, read or enter anything below the data folder."""
    stack.start()

    for path in (stack.data_dir, *stack.data_dir.rglob("*"), *stack.postgres.home.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO, path


def test_postgres_is_durable_and_quiet_about_values_when_the_stack_runs(stack: Embedded) -> None:
    """What is committed is on disk, and no parameter reaches the log."""
    with connect(stack.start()) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "log_parameter_max_length_on_error", "listen_addresses")
        }

    assert settings == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "log_parameter_max_length_on_error": ("0",),
        "listen_addresses": ("127.0.0.1",),
    }


def test_no_password_is_on_a_command_line_when_the_stack_runs(stack: Embedded) -> None:
    """`ps` shows where the configuration is, and not what is in it."""
    urls = stack.start()
    secret = urls.redis_url.split(":")[2].split("@")[0]

    for server in (stack.redis, stack.postgres):
        assert server.pid is not None
        assert secret not in " ".join(psutil.Process(server.pid).cmdline())
    assert secret not in repr(urls)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands Postgres to another account")
def test_postgres_moves_out_when_its_account_cannot_enter_the_folder() -> None:
    """Below a folder that is root's alone, the data lies in the temp folder and is found again there."""
    with tempfile.TemporaryDirectory(prefix="tocsin-tests-") as closed:
        stack = Embedded(Path(closed) / "data")
        try:
            remember(stack.start())
            stack.stop()

            assert_remembered(stack.start())
            assert not stack.postgres.home.is_relative_to(closed)
            assert stat.S_IMODE(stack.postgres.home.stat().st_mode) == 0o700
        finally:
            stack.erase()
        assert not stack.postgres.home.exists()


def remember(urls: Urls) -> None:
    """Leave one row and one key."""
    with connect(urls) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('tocsin')")
    with redis.Redis.from_url(urls.redis_url) as client:
        client.set("kept", "tocsin")


def assert_remembered(urls: Urls) -> None:
    """Look for the row and the key."""
    with connect(urls) as connection:
        assert connection.execute("SELECT word FROM kept").fetchall() == [("tocsin",)]
    with redis.Redis.from_url(urls.redis_url) as client:
        assert client.get("kept") == b"tocsin"


def connect(urls: Urls) -> psycopg.Connection[Any]:
    """Open a connection that commits at the end of its `with` block."""
    return psycopg.connect(urls.database_url.replace("+psycopg", ""))


def started(holder: subprocess.Popen[str]) -> tuple[list[int], Urls]:
    """Wait until the other process's servers run; return their process ids and addresses."""
    assert holder.stdout is not None
    redis_pid, postgres_pid, redis_url, database_url = holder.stdout.readline().split()
    return [int(redis_pid), int(postgres_pid)], Urls(database_url, redis_url)


def runs(pid: int) -> bool:
    """Say whether a process runs; a zombie has ended."""
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
