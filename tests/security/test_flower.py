"""Flower's port, on loopback: whoever reaches it without the password learns nothing and stops nobody."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from honcho.environ import parse_procfile

from deploy.cli.ports import free_port
from shared.crypto import new_encryption_key
from tests.integration.door_stage import ROOT
from tests.security.test_sockets import HIDDEN, say, statuses

USER = "ops:a-password"
PAGES = (
    "/",
    "/workers",
    "/tasks",
    "/broker",
    "/worker/x",
    "/task/x",
    "/api/workers",
    "/api/tasks",
    "/api/queues/length",
)
COMMANDS = (
    "/api/worker/shutdown/x", "/api/worker/pool/restart/x", "/api/worker/pool/grow/x", "/api/task/revoke/x",
    "/api/worker/queue/cancel-consumer/x", "/api/task/apply/intake.drain", "/api/task/async-apply/intake.drain",
    "/api/task/send-task/x",
)  # fmt: skip


@pytest.fixture(scope="module")
def flower(redis_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Procfile's own line."""
    port = free_port()
    line = parse_procfile((ROOT / "Procfile").read_text()).processes["flower"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOCSIN_", "FLOWER_"))} | {
        "TOCSIN_DATABASE_URL": database_url,
        "TOCSIN_REDIS_URL": redis_url,
        "TOCSIN_ENCRYPTION_KEYS": new_encryption_key(),
        "FLOWER_BASIC_AUTH": USER,
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {line}"],
        env=environment,
        cwd=tmp_path_factory.mktemp("flower"),
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    ends = time.monotonic() + 60
    while True:
        try:
            requests.get(f"{address}/healthcheck", timeout=5)
            break
        except requests.ConnectionError:
            assert process.poll() is None, "Flower ended"
            assert time.monotonic() < ends, "Flower does not answer"
            time.sleep(0.1)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("authorization", [None, "Basic b3BzOng=", "Basic !", "Bearer x", "Basic " + "A" * 5_000])
def test_page_asks_for_the_password(flower: str, authorization: str | None) -> None:
    """Every page and every call that reads."""
    headers = {"Authorization": authorization} if authorization else {}
    assert {requests.get(f"{flower}{page}", headers=headers, timeout=10).status_code for page in PAGES} <= {401, 403}


@pytest.mark.parametrize("key", [None, USER])
def test_no_call_changes_anything(flower: str, key: str | None) -> None:
    """With the password neither: it is read-only."""
    headers = {} if key is None else {"Authorization": f"Basic {base64.b64encode(key.encode()).decode()}"}
    for path in COMMANDS:
        answer = requests.post(f"{flower}{path}", headers=headers, data=b'{"args":[]}', timeout=10)
        assert answer.status_code in (401, 403, 404, 405), path


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + HIDDEN,
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:36])[2:34],
)
def test_malformed_request_is_refused(flower: str, raw: bytes) -> None:
    """Or the connection is closed; it goes on serving."""
    said = say(flower, raw)

    assert not {200, 500} & set(statuses(said))
    assert b"root:" not in said
    assert requests.get(f"{flower}/healthcheck", timeout=10).status_code == 200
