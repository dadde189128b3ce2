"""The peer on Node: Express, BullMQ and pg."""

from __future__ import annotations

import os
import shutil

from bench.contestant import Place
from bench.processes import Group
from bench.python_peers import GATHERED, PEERS, make_tables
from bench.traffic import SECRET

FOLDER = PEERS / "node"
WORKERS = 2


class NodePeer:
    """Two processes for two cores on either side, as the documents of both advise."""

    name = "node"
    words = "Express + BullMQ + pg"
    path = "/webhooks"
    sequence = "writeback_id_seq"
    written = "SELECT count(*) FROM writeback"
    outcome = GATHERED

    def missing(self) -> str | None:
        """Node comes with the machine, its packages from `make peers`."""
        if shutil.which("node") is None:
            return "no node on the PATH"
        return None if (FOLDER / "node_modules").exists() else "not installed (make peers)"

    def make_ready(self, place: Place, alarms: int) -> None:
        """Tables and incidents."""
        make_tables(place.database_url, alarms)

    def door(self, place: Place) -> Group:
        """A cluster."""
        group = self._group(place)
        group.launch("node-web", ["node", str(FOLDER / "web.js")])
        return group

    def workers(self, place: Place) -> Group:
        """Each works many jobs at once."""
        group = self._group(place)
        for number in range(WORKERS):
            group.launch(f"node-worker-{number}", ["node", str(FOLDER / "worker.js")])
        return group

    def _group(self, place: Place) -> Group:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        environment = plain | {
            "NODE_ENV": "production",
            "PORT": str(place.port),
            "DATABASE_URL": place.database_url,
            "REDIS_URL": place.ground.redis_url,
            "WEBHOOK_SECRET": SECRET,
        }
        return Group(place.ground.folder, environment, place.ground.folder)
