"""An incident's timeline as plain text: when, from where, how long it stayed with Tocsin, and what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from deploy.sandbox.rehearsal_verdict import Played

LEGEND = "dwell: ms from Tocsin's door to the provider (requested, cancel), from the event to the platform (the rest)"


def timeline_table(played: Played) -> str:
    """The title, the provider's id of the alarm, and a line per step."""
    incident = played.incident
    ids = ", ".join(str(leg["provider_alarm_id"]) for leg in incident["legs"] if leg["provider_alarm_id"])
    rows = [("when", "from where", "dwell", "what")]
    rows += [_row(played, entry) for entry in incident["timeline"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}" for row in rows]
    head = f"\n{played.title} ({played.reference}), {played.provider} alarm {ids or 'none'}"
    return "\n".join([head, *lines, f"  {LEGEND}"])


def _row(played: Played, entry: dict[str, Any]) -> tuple[str, str, str, str]:
    when = _moment(entry["occurred_at"]).strftime("%H:%M:%S.%f")[:-3]
    dwell = _dwell(played, entry)
    return when, entry["source"], "-" if dwell is None else f"{dwell * 1000:.0f}", entry["entry"]


def _dwell(played: Played, entry: dict[str, Any]) -> float | None:
    """Seconds, by one clock: sandbox, database and Tocsin run on this machine."""
    if entry["event"] == "requested" and entry["source"] == "tocsin":
        return _after(played.requests["create"], _seconds(played.incident["received_at"]))
    if entry["event"] == "cancel_requested":
        return _after(played.requests["cancel"], _seconds(entry["occurred_at"]))
    arrived = [
        body["arrived_at"]
        for body in played.writebacks
        if body["event"] == entry["event"] and _moment(body["occurred_at"]) == _moment(entry["occurred_at"])
    ]
    return _after(arrived, _seconds(entry["occurred_at"]))


def _after(moments: list[float], start: float) -> float | None:
    return min((moment - start for moment in moments if moment >= start), default=None)


def _seconds(text: str) -> float:
    return _moment(text).timestamp()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
