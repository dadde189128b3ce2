"""The whole of Tocsin on wires that can be cut, with a keeper that starts dead processes again as systemd would."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy.engine import make_url

from deploy.embedded import Embedded
from shared.store.patience import make_patient, patience
from tests.chaos.proxy import Wires
from tests.e2e.stack import Stack

REDIS, POSTGRES = 0, 1
LOOK_EVERY_S = 0.1
RESTART_AFTER_S = 0.5
LOOK_S = 60.0
# A third to a fifth of production's patience (for strangers far less), so that an hour holds more stories.
PACE: dict[str, Any] = {
    "call_s": 3.0,
    "lease_margin_s": 1.5,
    "least_exchange_s": 0.75,
    "told_after_s": 10.0,
    "unconfirmed_after_s": 3.0,
    "park_strangers_s": 20.0,
    "noonlight_options": {"support_phone": "+1 555 0100"},
}


@dataclass(frozen=True)
class End:
    """A process that ended unasked."""

    name: str
    code: int


@dataclass
class _Kept:
    """What the keeper knows: who must stay down, who is no longer wanted, and who ended unasked."""

    down: set[str] = field(default_factory=set)
    struck: set[str] = field(default_factory=set)
    ends: list[End] = field(default_factory=list)


class Rig(Stack):
    """A stack whose processes reach Redis and Postgres through `wires`; the audit goes around them."""

    def __init__(self, embedded: Embedded, folder: Path, **values: Any) -> None:
        """Start all, and the keeper last."""
        self.wires = Wires(embedded.redis.port, embedded.postgres.port)
        # Webhooks that carried no valid proof and were taken all the same.
        self.forgeries_taken = 0
        # What could not be tried on this machine, and why.
        self.left_out: set[str] = set()
        self.own_environment: dict[str, dict[str, str]] = {}
        self.guard = threading.RLock()
        self._kept = _Kept()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")
        super().__init__(embedded, folder, **(PACE | values))
        make_patient(self.engine)
        self._keeper.start()

    def _given(self, database_url: str) -> dict[str, Any]:
        given = super()._given(database_url)
        self.direct_redis_url = str(given["redis_url"])
        through = make_url(database_url).set(port=self.wires.ports[POSTGRES])
        given["database_url"] = through.render_as_string(hide_password=False)
        given["redis_url"] = self.direct_redis_url.replace(
            f":{self.embedded.redis.port}/", f":{self.wires.ports[REDIS]}/"
        )
        return given

    def redis(self) -> redis.Redis:
        """A client past the wires; the caller closes it."""
        return redis.Redis.from_url(self.direct_redis_url, socket_timeout=5, socket_connect_timeout=5)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Look into the database; a frozen one ends the wait after LOOK_S."""
        with patience(LOOK_S):
            return super().rows(sql, **values)

    def environment_of(self, name: str) -> dict[str, str]:
        """A process may have something of its own."""
        return super().environment_of(name) | self.own_environment.get(name, {})

    # -- processes -------------------------------------------------------------------------------------------------

    def strike(self, name: str, what: signal.Signals, *, stay_down: bool, child: bool = False) -> None:
        """Signal a process (or its first child) as the kernel or an operator would; `stay_down` until `let_up`."""
        with self.guard:
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                return
            self._kept.struck.add(name)
            if stay_down:
                self._kept.down.add(name)
            with suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children() if child else []
                (family[0] if family else process).send_signal(what)

    def let_up(self, *names: str) -> None:
        """Let the keeper start them again."""
        with self.guard:
            self._kept.down.difference_update(names)

    def add(self, name: str, like: str, **environment: str) -> None:
        """One more process, by the line of another, with something of its own in the environment."""
        with self.guard:
            self.lines[name] = self.lines[like].replace("%h", f"{name}.%h")
            self.own_environment[name] = environment
            self.launch(name)

    def remove(self, *names: str) -> None:
        """Stop processes that were added; the keeper forgets them."""
        with self.guard:
            for name in names:
                del self.lines[name], self.own_environment[name]
            leaving = [self.processes.pop(name) for name in names]
        for process in leaving:
            process.terminate()
        for process in leaving:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            _end_group(process.pid)
            process.wait()

    def ends(self) -> list[End]:
        """The processes that ended unasked so far."""
        return list(self._kept.ends)

    def _keep(self) -> None:
        since: dict[str, int] = {}
        while not self._stopping.wait(LOOK_EVERY_S):
            with self.guard:
                for name in [one for one in self.lines if self._is_dead(one)]:
                    since[name] = since.get(name, 0) + 1
                    if name in self._kept.down or since[name] < RESTART_AFTER_S / LOOK_EVERY_S:
                        continue
                    since.pop(name)
                    self._note(name)
                    _end_group(self.processes[name].pid)  # what a dead head leaves behind would hold its port
                    self.launch(name)

    def _is_dead(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is not None

    def _note(self, name: str) -> None:
        if name in self._kept.struck:
            self._kept.struck.discard(name)
        else:
            self._kept.ends.append(End(name, self.processes[name].returncode))

    def close(self) -> None:
        """Stop everything."""
        self._stopping.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        for index in (REDIS, POSTGRES):
            self.wires.turn(index, "open")
        heads = [process.pid for process in self.processes.values()]
        super().close()
        for head in heads:
            _end_group(head)
        self.wires.close()


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


@contextmanager
def open_rig(**values: Any) -> Iterator[Rig]:
    """A rig on servers of its own, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="tocsin-chaos-") as folder:
        Path(folder).chmod(0o711)
        embedded = Embedded(Path(folder) / "data")
        rig = None
        try:
            embedded.start()
            rig = Rig(embedded, Path(folder), **values)
            yield rig
        finally:
            for server in (embedded.redis, embedded.postgres):
                server.thaw()
            if rig is not None:
                rig.close()
            embedded.erase()
