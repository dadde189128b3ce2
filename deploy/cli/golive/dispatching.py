"""An alarm from end to end in staging, and its cancel by the operator."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.cli.golive.ground import BY, PERSON, Ground
from deploy.cli.golive.report import Line, judged, not_applicable, person
from deploy.sandbox.moving import is_sandbox, move
from shared.providers.base import Account

DISPATCH = "a dispatch from end to end"
UPDATES = "status updates arrive"
CANCEL = "cancel by the operator"


def dispatch(ground: Ground) -> Iterator[Line]:
    """A test alarm is accepted, seen at the provider, and told to the platform."""
    for account in ground.staging:
        site = next(iter(ground.sites.get(account.id, [])), None)
        if site is None:
            yield not_applicable(DISPATCH, account.id, "no site was registered for it")
            continue
        incident = ground.raise_alarm(f"{account.id}-whole", site)
        ground.incidents[account.id] = incident
        polled = _polled_steps(ground, account)
        if not ground.until(lambda: bool(ground.provider_alarm_id(incident))):  # noqa: B023 - it is called at once
            status = ground.incident(incident)["status"]
            yield judged(DISPATCH, account.id, [f"not accepted within {ground.wait_s:.0f} s: {status}"], "")
            del ground.incidents[account.id]
            continue
        yield _seen(ground, account, incident)
        yield _updated(ground, account, incident, polled)


def _seen(ground: Ground, account: Account, incident: str) -> Line:
    reading = ground.read(account, ground.provider_alarm_id(incident))
    faults = [] if reading is not None and reading.active else ["the provider does not show it as active"]
    if not ground.until(lambda: ground.written_back(incident, "requested")):
        faults.append("the platform was not told that a response was requested")
    return judged(DISPATCH, account.id, faults, "accepted, active at the provider, written back")


def _polled_steps(ground: Ground, account: Account) -> int:
    """How many steps only polling has found so far."""
    return int(ground.rows("SELECT polled_steps FROM provider_account WHERE id = :a", a=account.id)[0].polled_steps)


def _updated(ground: Ground, account: Account, incident: str, polled: int) -> Line:
    """In the sandbox we move the alarm ourselves; elsewhere the provider's staging or a person does."""
    sandbox = is_sandbox(account.base_url)
    if sandbox and not move(account.base_url, ground.provider_alarm_id(incident)):
        return judged(UPDATES, account.id, ["the sandbox did not move the alarm"], "")

    def told() -> bool:
        news = [entry for entry in ground.incident(incident)["timeline"] if entry["source"] == account.provider]
        return any(ground.written_back(incident, entry["event"]) for entry in news if entry["event"] != "requested")

    if ground.until(told):
        if _polled_steps(ground, account) > polled:
            lost = "the news came by polling only: are its webhooks lost, or refused?"
            return judged(UPDATES, account.id, [lost], "") if sandbox else person(UPDATES, account.id, lost)
        return judged(UPDATES, account.id, [], "the provider's news moved the incident and was written back")
    words = f"nothing came from the provider within {ground.wait_s:.0f} s"
    if sandbox:
        return judged(UPDATES, account.id, [f"{words}: are its webhooks lost, or refused?"], "")
    return person(UPDATES, account.id, f"{words}: move the alarm in its portal and run again")


def cancel(ground: Ground) -> Iterator[Line]:
    """The alarm from before is cancelled through the API, as the operator's screen does it."""
    for account in ground.staging:
        incident = ground.incidents.get(account.id)
        if incident is None:
            yield not_applicable(CANCEL, account.id, "there is no alarm to cancel")
            continue
        body = {"reason": "other", "note": "the rehearsal is over", "pin": PERSON["pin"], "by": BY}
        ground.taken("POST", f"/v1/incidents/{incident}/cancel", body)
        faults = []
        if not ground.until(lambda: ground.incident(incident)["status"] in ("cancelled", "closed")):  # noqa: B023
            faults.append("the cancel was not confirmed")
        reading = ground.read(account, ground.provider_alarm_id(incident))
        if reading is None or reading.active:
            faults.append("the provider still shows the alarm as active")
        if not ground.until(lambda: ground.written_back(incident, "cancelled")):  # noqa: B023
            faults.append("the platform was not told")
        yield judged(CANCEL, account.id, faults, "stopped at the provider, written back")
