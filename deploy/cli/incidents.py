"""`tocsin incidents`: see them, and act on one as the door's actions do, when the operator's system cannot."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from deploy.cli.acting import ask
from deploy.cli.faults import CommandError
from deploy.cli.reach import reach
from deploy.cli.secret_words import read_secrets, take_secrets
from deploy.cli.show import say, show, show_all
from deploy.cli.words import Commands, command, group, take_by, take_limit, take_platform
from shared.domain.lifecycle import Status
from shared.store import reading
from shared.store.models import Incident
from shared.store.reading import IncidentFilter, IncidentView
from webhooks_app.bodies import ByReasonBody, CancelBody, DropBody, ReportBody


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "incidents", "see incidents, and act on one")
    listing = command(own, "list", run_list, "list incidents, newest first")
    listing.add_argument("--status", action="append", choices=[status.value for status in Status], default=[])
    listing.add_argument("--site", metavar="REF")
    listing.add_argument("--report", choices=["missing"], help="closed ones whose report was not filed")
    take_limit(listing)
    take_platform(listing)
    for name, run, about in (
        ("show", run_show, "show one incident with its legs and its timeline"),
        ("resend", run_resend, "send again after a doubt or a failure"),
        ("drop", run_drop, "end all attempts: nobody is sent"),
        ("close", run_close, "close what the provider's end was not seen of"),
        ("cancel", run_cancel, "ask to stop the response"),
        ("report", run_report, "note where the report of what happened was filed"),
    ):
        one = command(own, name, run, about)
        one.add_argument("id")
        take_platform(one)
        if name in ("resend", "close"):
            one.add_argument("--reason")
            take_by(one)
        if name == "drop":
            one.add_argument("--reason", required=True)
            take_by(one)
        if name == "cancel":
            _take_cancel(one)
        if name == "report":
            one.add_argument("--url", required=True)
            take_by(one)


def _take_cancel(one: argparse.ArgumentParser) -> None:
    reasons = ("false_alarm", "site_called", "panel_reset", "resolved", "other")
    one.add_argument("--reason", choices=reasons, required=True)
    one.add_argument("--note")
    one.add_argument("--by", metavar="NAME")
    take_secrets(one, "pin")


def run_list(arguments: argparse.Namespace) -> int:
    """List incidents."""
    wanted = IncidentFilter(
        statuses=arguments.status,
        site_ref=arguments.site,
        unreported=arguments.report == "missing",
        limit=arguments.limit,
    )
    with reach() as here:
        rows = reading.incidents(here.session, here.platform(arguments.platform).id, wanted)
        shown = [_summary(incident, provider) for incident, provider in rows[: arguments.limit]]
    show_all(shown, as_json=arguments.json)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Show an incident."""
    with reach() as here:
        view = reading.incident(here.session, here.platform(arguments.platform).id, arguments.id)
        if view is None:
            raise CommandError(f"the platform {arguments.platform} has no incident {arguments.id}")
        summary, legs, timeline = _summary(view.incident, view.provider), _legs(view), _timeline(view)
    if arguments.json:
        show(summary | {"legs": legs, "timeline": timeline}, as_json=True)
        return 0
    show(summary, as_json=False)
    for rows in (legs, timeline):
        say("")
        show_all(rows, as_json=False)
    return 0


def run_resend(arguments: argparse.Namespace) -> int:
    """Send again."""
    return _act(arguments, "resend", ByReasonBody, ("by", "reason"))


def run_drop(arguments: argparse.Namespace) -> int:
    """End all attempts."""
    return _act(arguments, "drop", DropBody, ("by", "reason"))


def run_close(arguments: argparse.Namespace) -> int:
    """Close on our side."""
    return _act(arguments, "close", ByReasonBody, ("by", "reason"))


def run_cancel(arguments: argparse.Namespace) -> int:
    """Ask to stop the response."""
    arguments.pin = read_secrets(arguments, ("pin",)).get("pin")
    return _act(arguments, "cancel", CancelBody, ("by", "reason", "note", "pin"), {"origin": "platform"})


def run_report(arguments: argparse.Namespace) -> int:
    """Note where the report is; it is written back as `report_url`."""
    return _act(arguments, "report", ReportBody, ("url", "by"))


def _act(
    arguments: argparse.Namespace,
    action: str,
    model: type[BaseModel],
    names: Sequence[str],
    extra: dict[str, Any] | None = None,
) -> int:
    """Write the action into the inbox, by the same rules as `POST /v1/incidents/{id}/<action>`."""
    try:
        body = model(**{name: getattr(arguments, name) for name in names})
    except ValidationError as error:
        faults = (f"--{one['loc'][0]}: {one['msg']}" for one in error.errors(include_input=False))
        raise CommandError("; ".join(faults)) from None
    with reach() as here:
        platform = here.platform(arguments.platform)
        status = ask(here, platform.id, arguments.id, action, body.model_dump(mode="json") | (extra or {}))
    show({"incident_id": arguments.id, "status": status, "asked": action}, as_json=arguments.json)
    return 0


def _summary(incident: Incident, provider: str | None) -> dict[str, Any]:
    return {
        "id": incident.id,
        "ref": incident.incident_ref,
        "kind": incident.kind,
        "status": incident.status,
        "cancel": incident.cancel,
        "provider": provider,
        "site": incident.site_ref,
        "test": incident.test,
        "possible_double": incident.possible_double,
        "received_at": incident.received_at,
        "ended_at": incident.ended_at,
        "reason": incident.reason,
    }


def _legs(view: IncidentView) -> list[dict[str, Any]]:
    return [
        {
            "leg": leg.id,
            "provider": provider,
            "alarm": leg.provider_alarm_id,
            "outcome": leg.outcome,
            "status": leg.status,
            "cancel": leg.cancel,
            "joined": link.joined,
            "sending_at": leg.sending_at,
        }
        for link, leg, provider in view.legs
    ]


def _timeline(view: IncidentView) -> list[dict[str, Any]]:
    return [
        {"at": entry.occurred_at, "from": entry.source, "event": entry.event, "entry": entry.entry}
        for entry in view.timeline
    ]
