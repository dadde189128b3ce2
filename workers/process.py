"""The parts of this worker process, made at first use (never at import, never before a fork)."""

from __future__ import annotations

from functools import lru_cache

from shared import log
from shared.domain.lanes import Lane
from shared.settings import current
from workers.deps import Deps, build
from workers.engine import Engine
from workers.services.starting import prepare


@lru_cache(maxsize=1)
def parts() -> Deps:
    """This process's deps."""
    settings = current()
    log.configure(settings.log_level)
    deps = build(settings, "worker", pool_size=max(settings.dispatch_threads, settings.database_pool))
    prepare(deps)
    return deps


@lru_cache(maxsize=len(Lane))
def engine(lane: Lane) -> Engine:
    """This process's engine of a lane."""
    settings = current()
    threads = {Lane.DISPATCH: settings.dispatch_threads, Lane.OUTGOING: settings.outgoing_threads}
    return Engine(parts(), lane, threads.get(lane, 1))
