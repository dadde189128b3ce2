"""The webhook: who may deliver, what a repeat does, and what each event becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from deploy.cli.golive.ground import Ground
from deploy.cli.golive.report import Line, judged, not_applicable
from shared.providers import registry
from shared.providers.base import Account, Specimen, Specimens
from shared.store.models import ProviderAccount

AUTHENTIC = "webhook authentication"
IDEMPOTENT = "webhook idempotency"
MAPPED = "event-to-status mapping"


def hooks(ground: Ground) -> Iterator[Line]:
    """An alarm of its own is played to its end with deliveries that are made here."""
    for account in ground.staging:
        maker = registry.get(account.provider).specimens
        site = next(iter(ground.sites.get(account.id, [])[1:]), None)
        if maker is None or site is None:
            yield not_applicable(AUTHENTIC, account.id, "no site or no specimens of deliveries for it")
            continue
        if not account.webhook_secrets:
            yield judged(AUTHENTIC, account.id, ["no webhook secret is configured: every delivery is refused"], "")
            continue
        incident = ground.raise_alarm(f"{account.id}-hooks", site)
        if not ground.until(lambda: bool(ground.provider_alarm_id(incident))):  # noqa: B023 - it is called at once
            yield judged(AUTHENTIC, account.id, ["its alarm was not accepted"], "")
            continue
        alarm_id = ground.provider_alarm_id(incident)
        ground.until(lambda: ground.incident(incident)["status"] == "requested")  # noqa: B023
        try:
            yield from _played(ground, account, maker, incident, alarm_id)
        finally:
            registry.get(account.provider).dispatch.cancel(ground.call(), account, alarm_id, None)


def _played(ground: Ground, account: Account, maker: Specimens, incident: str, alarm_id: str) -> Iterator[Line]:
    path = _path(ground, account)
    specimens = maker.specimens(account, alarm_id)
    forged = maker.specimens(replace(account, webhook_secrets=("not-the-secret-of-this-account",)), alarm_id)
    yield _authentic(ground, account, path, specimens[0], forged[0])
    yield _idempotent(ground, account, path, incident, specimens[0])
    yield _mapped(ground, account, path, incident, specimens)


def _path(ground: Ground, account: Account) -> str:
    with ground.sessions() as session:
        default = session.get_one(ProviderAccount, account.id).is_default
    return f"/webhooks/{account.provider}" + ("" if default else f"/{account.id}")


def _deliver(ground: Ground, path: str, specimen: Specimen, *, signed: bool = True) -> int:
    headers = {"Content-Type": "application/json"} | (dict(specimen.headers) if signed else {})
    return ground.request("POST", path, data=specimen.body, headers=headers).status_code


def _authentic(ground: Ground, account: Account, path: str, genuine: Specimen, forged: Specimen) -> Line:
    answers = {
        "unsigned": _deliver(ground, path, genuine, signed=False),
        "wrongly signed": _deliver(ground, path, forged),
        "signed": _deliver(ground, path, genuine),
    }
    faults = [f"{name} was answered {answers[name]}" for name in ("unsigned", "wrongly signed") if answers[name] != 401]
    faults += [] if answers["signed"] == 200 else [f"signed was answered {answers['signed']}"]
    return judged(AUTHENTIC, account.id, faults, "unsigned and wrongly signed are refused, signed is taken")


def _idempotent(ground: Ground, account: Account, path: str, incident: str, specimen: Specimen) -> Line:
    word = specimen.status.value
    ground.until(lambda: ground.incident(incident)["status"] == word)
    # Of its own word only: the provider may tell something else of this alarm at the same moment.
    before = ground.events(incident).count(word)
    _deliver(ground, path, specimen)
    ground.until(lambda: ground.at_rest(account.id))
    after = ground.events(incident).count(word)
    faults = [] if before == after else [f"{word} is told {after} times after the second delivery"]
    return judged(IDEMPOTENT, account.id, faults, "the same delivery twice changes nothing")


def _mapped(ground: Ground, account: Account, path: str, incident: str, specimens: Sequence[Specimen]) -> Line:
    faults = []
    for specimen in specimens:
        _deliver(ground, path, specimen)
        if not ground.until(lambda: specimen.status.value in ground.events(incident)):  # noqa: B023
            faults.append(f"{specimen.name} did not become {specimen.status.value}")
    words = ", ".join(f"{specimen.name} is {specimen.status.value}" for specimen in specimens)
    return judged(MAPPED, account.id, faults, words)
