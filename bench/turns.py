"""One contestant's turn: accepting alone, applying alone, both at once, and whether all of it is right."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from bench import traffic
from bench.contestant import Contestant
from bench.figures import percentile
from bench.game import READY_WITHIN_S, Game
from bench.ground import Ground
from bench.load import Gun
from bench.meter import Meter

SEED = 20260501
WARM_UP = 300
# More than any contestant takes in the time.
MOST_PER_S = 16_000


@dataclass(frozen=True)
class Turn:
    """The figures of one contestant in one round, NaN where it has none. CPU is in seconds per 1,000 webhooks."""

    accepted_s: float = math.nan
    p50_ms: float = math.nan
    p99_ms: float = math.nan
    applied_s: float = math.nan
    through_s: float = math.nan
    live_p50_ms: float = math.nan
    live_p99_ms: float = math.nan
    accept_cpu: float = math.nan
    apply_cpu: float = math.nan
    postgres_cpu: float = math.nan
    redis_cpu: float = math.nan
    redis_bytes: float = math.nan
    wrong: int = 0


def play(contestant: Contestant, ground: Ground, gun: Gun, seconds: float) -> Turn:
    """One turn, with so many seconds of fire twice. Raises GameFailedError."""
    first = traffic.sequence(0, int(MOST_PER_S * seconds / 2), SEED)
    second = traffic.sequence(len(first), int(MOST_PER_S * seconds / 2), SEED + 1)
    with Game(contestant, ground, len(first) + len(second)) as game:
        requests, later = game.requests(first), game.requests(second)
        game.open_door()
        assert game.door is not None
        empty = ground.redis_bytes()
        game.fire(gun, first[:WARM_UP], requests[:WARM_UP], READY_WITHIN_S)
        meter = Meter(ground, game.door)
        alone = game.fire(gun, first[WARM_UP:], requests[WARM_UP:], seconds)
        accepting = meter.read(alone.sent)
        waiting = game.distinct
        held = (ground.redis_bytes() - empty) / waiting
        applying = game.drain()
        both = game.fire(gun, second, later, seconds)
        game.await_written()
        through = (game.distinct - waiting) / (time.time() - both.began)
        wrong = game.wrong()
    servers = [(part.per_1000(part.postgres), part.per_1000(part.redis)) for part in (accepting, applying)]
    return Turn(
        accepted_s=alone.rate,
        p50_ms=percentile(alone.latencies, 50) * 1000,
        p99_ms=percentile(alone.latencies, 99) * 1000,
        applied_s=applying.rate,
        through_s=through,
        live_p50_ms=percentile(both.latencies, 50) * 1000,
        live_p99_ms=percentile(both.latencies, 99) * 1000,
        accept_cpu=accepting.per_1000(accepting.own),
        apply_cpu=applying.per_1000(applying.own),
        postgres_cpu=sum(postgres for postgres, _ in servers),
        redis_cpu=sum(redis for _, redis in servers),
        redis_bytes=held,
        wrong=wrong,
    )
