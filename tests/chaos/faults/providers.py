"""Providers that fail, hang, or answer what nobody can use: either of them, or both at once."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from tests.chaos.faults.registry import Story, fault, register
from tests.chaos.rig import Rig

FAMILY = "providers"
CALM: dict[str, Any] = {"fail": [], "hang": [], "drop_answer": [], "drip": [], "truncate": []}
EVERYTHING = "*"
CREATES = {"noonlight": "/dispatch/v1/alarms", "aura": "*/externalRef/*/callouts"}
DOCUMENTED = {"code": 503, "message": "Service unavailable", "details": ""}


def _who(dice: Random) -> tuple[str, ...]:
    return dice.choice((("noonlight",), ("aura",), ("noonlight", "aura")))


def _misbehaving(kind: str, *, only_creates: bool = False, **rule: Any) -> Story:
    def story(rig: Rig, dice: Random) -> Iterator[None]:
        names = _who(dice)
        for name in names:
            path = CREATES[name] if only_creates else EVERYTHING
            _control(rig, name, **{kind: [{"path": path, **rule}]})
        yield
        for name in names:
            _control(rig, name, **{kind: []})

    return story


def _control(rig: Rig, name: str, **values: Any) -> None:
    (rig.noonlight if name == "noonlight" else rig.aura)("_control", **values)


for _name, _kind, _rule in (
    ("502 with a page", "fail", {"status": 502, "body": "<html>bad gateway</html>"}),
    ("503 with its error body", "fail", {"status": 503, "body": DOCUMENTED}),
    ("429", "fail", {"status": 429, "body": {"message": "slow down"}, "headers": {"Retry-After": "2"}}),
    ("200 that is no JSON", "fail", {"status": 200, "body": "<html>fine</html>"}),
    ("slow-drip answers", "drip", {"seconds": 0.1}),
    ("truncated answers", "truncate", {}),
    ("lost answers", "drop_answer", {}),
):
    register(f"provider: {_name}", FAMILY, _misbehaving(_kind, **_rule), hold_s=8.0, brief_s=3.0)
for _name, _rule in (
    ("creates hang and are done", {"seconds": 6.0, "work": "before"}),
    ("creates hang and are done late", {"seconds": 6.0, "work": "after"}),
    ("creates hang and are never done", {"seconds": 6.0, "work": "never"}),
):
    register(f"provider: {_name}", FAMILY, _misbehaving("hang", only_creates=True, **_rule), hold_s=8.0, brief_s=3.0)
register("provider: all hangs", FAMILY, _misbehaving("hang", seconds=8.0), hold_s=15.0, brief_s=4.0)


@fault("provider: 5xx for long", FAMILY, hold_s=45.0, brief_s=6.0)
def _long(rig: Rig, dice: Random) -> Iterator[None]:
    yield from _misbehaving("fail", status=503, body=DOCUMENTED)(rig, dice)


@fault("provider: expired tokens", FAMILY, hold_s=4.0, brief_s=3.0)
def _expired(rig: Rig, dice: Random) -> Iterator[None]:
    rig.aura("_control", expire_token=True)
    yield
    rig.aura("_control", expire_token=True)
