"""A reconciliation of many sites with a listing that has 1 % drift: time per site, and the peak memory of its worker.

Each size (`python -m bench.reconciling 10000 100000 1000000`) runs alone, on the whole stack of `tocsin up`; the
listing is a server of its own that answers as a stream. Time and memory are those of the comparison that was asked for.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import requests
from sqlalchemy import text

from bench.desk import open_desk
from deploy.cli.stack import Stack

SIZES = (10_000, 100_000, 1_000_000)
CHUNK = 500
LOOK_EVERY_S = 0.1
TOKEN = b'{"accessToken": "t", "tokenType": "Bearer", "expiresIn": 3600}'
RECORD = (
    '{"id": %d, "externalReferenceId": "site-%d", "locationDescription": "%s", "latitude": "-33.9",'
    ' "longitude": "18.4", "formattedAddress": "%d Long Street, Cape Town"}'
)
SITES = text("""
    INSERT INTO site (platform_id, account_id, reference, provider_site_id, name, address, lat, lng, sync_state,
        synced_version, updated_at)
    SELECT 'default', 'aura', 'site-' || i, i, 'Depot ' || i,
        jsonb_build_object('line1', i || ' Long Street', 'city', 'Cape Town'), -33.9, 18.4, 'synced', 1,
        now() - interval '1 day'
    FROM generate_series(1, :size) AS i
""")


class Listing(BaseHTTPRequestHandler):
    """Gives tokens, and a listing in which every hundredth site was renamed."""

    protocol_version = "HTTP/1.1"
    size = 0

    def do_POST(self) -> None:
        """A token, whoever asks."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(TOKEN)))
        self.end_headers()
        self.wfile.write(TOKEN)

    def do_GET(self) -> None:
        """The listing, a chunk in memory at a time."""
        with contextlib.suppress(ConnectionError):  # whoever only probes the account reads no further
            self._list()

    def _list(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for first in range(1, self.size + 1, CHUNK):
            after = min(first + CHUNK, self.size + 1)
            records = ",".join(_record(number) for number in range(first, after))
            part = f"{'[' if first == 1 else ','}{records}{']' if after > self.size else ''}".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


def _record(number: int) -> str:
    name = "Elsewhere" if number % 100 == 0 else f"Depot {number}"
    return RECORD % (number, number, name, number)


def serve(size: int, told: Any) -> None:
    """Serve the listing until the process is ended; tell the port."""
    Listing.size = size
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    told.send(server.server_port)
    server.serve_forever()


def main() -> None:
    """Measure each size and print a line."""
    print(f"{'sites':>9} {'s':>8} {'us per site':>12} {'worker before, MB':>18} {'peak, MB':>9}  drift")
    for size in [int(word) for word in sys.argv[1:]] or SIZES:
        ours, theirs = multiprocessing.Pipe()
        listing = multiprocessing.Process(target=serve, args=(size, theirs), daemon=True)
        listing.start()
        try:
            with open_desk() as stack:
                measure(stack, size, f"http://127.0.0.1:{ours.recv()}")
        finally:
            listing.terminate()


def measure(stack: Stack, size: int, listing: str) -> None:
    """Fill our side, ask for a comparison, and watch it."""
    with stack.session() as session, session.begin():
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(SITES, {"size": size})
        session.execute(
            text("UPDATE provider_account SET base_url = :u, token = NULL WHERE id = 'aura'"), {"u": listing}
        )
    with stack.session() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(text("ANALYZE site"))
    web, bearer = stack.described["web"], {"Authorization": f"Bearer {stack.described['api_key']}"}
    workers = _workers(stack)
    before = {process.pid: process.memory_info().rss for process in workers}
    peak = dict(before)
    asked = requests.post(f"{web}/v1/site-reconciliations", json={"account": "aura"}, headers=bearer, timeout=10)
    asked.raise_for_status()
    while (run := _newest(web, bearer))["ended_at"] is None:
        for process in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak[process.pid] = max(peak.get(process.pid, 0), process.memory_info().rss)
        time.sleep(LOOK_EVERY_S)
    if run["state"] != "done" or run["listed"] != size:
        raise RuntimeError(f"the comparison ended otherwise: {run}")
    with stack.session() as session:
        took = session.execute(
            text("SELECT extract(epoch FROM ended_at - started_at) FROM reconciliation_run WHERE id = :id"), run
        ).scalar_one()
    most = max(peak, key=lambda pid: peak[pid] - before[pid])
    per_site = float(took) / size * 1e6
    print(
        f"{size:9} {took:8.1f} {per_site:12.0f} {before[most] >> 20:18} {peak[most] >> 20:9}  {run['drift']}",
        flush=True,
    )


def _workers(stack: Stack) -> list[psutil.Process]:
    """The processes of the stack's workers, with their children."""
    pids = [pid for name, pid in _pids(stack).items() if name.startswith("worker")]
    parents = [psutil.Process(pid) for pid in pids]
    return [process for parent in parents for process in (parent, *parent.children(recursive=True))]


def _pids(stack: Stack) -> dict[str, int]:
    found: dict[str, int] = json.loads((stack.data_dir / "run.json").read_text())["pids"]
    return found


def _newest(web: str, bearer: dict[str, str]) -> dict[str, Any]:
    answer = requests.get(f"{web}/v1/site-reconciliations?limit=1", headers=bearer, timeout=10)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()["reconciliations"][0]
    return found


if __name__ == "__main__":
    main()
