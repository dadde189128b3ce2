"""A worker of one lane in a process of its own: settings on the first line of its input, then one order a line."""

from __future__ import annotations

import json
import sys
import time

from shared.clock import boot_time
from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell, Ringer
from shared.settings import Settings
from shared.store.engine import make_engine, make_sessions
from shared.store.outbox import Lease, lease_due
from workers.deps import Deps
from workers.engine import Engine
from workers.tokens import StoredTokens

# Logs go elsewhere, so that every line of the output is an answer.
ANSWERS = sys.stdout
sys.stdout = sys.stderr


def main() -> None:
    """Obey until the input ends; each order is answered with one line."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    sessions = make_sessions(make_engine(settings.database_url.get_secret_value(), name="lone"))
    box = Box(tuple(key.get_secret_value() for key in settings.encryption_keys))
    bell = Doorbell(settings.redis_url.get_secret_value())
    deps = Deps(settings, sessions, box, bell, Ringer(bell), StoredTokens(sessions, box))
    lane = Lane(sys.argv[1])
    engine = Engine(deps, lane, 4)
    leased: list[Lease] = []
    say("ready")
    for order in sys.stdin:
        if order.strip() == "lease":
            with sessions.begin() as session:
                leased = lease_due(session, lane, 1, lease_s=settings.lease_s(), boot_now=boot_time())
        elif order.strip() == "work":
            for lease in leased:
                engine._work(lease)
        elif order.strip() == "clock":
            say(str(time.time()))
            continue
        else:  # "serve": until it is killed, since a slow machine may cost the first lease
            while True:
                engine.drain()
                time.sleep(0.05)
        say("done")


def say(word: str) -> None:
    """Answer."""
    ANSWERS.write(word + "\n")
    ANSWERS.flush()


if __name__ == "__main__":
    main()
