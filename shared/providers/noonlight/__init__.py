"""Noonlight Dispatch (docs.noonlight.com): US only, one alarm per call, followed by webhooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shared.domain.cadence import Cadence
from shared.domain.lifecycle import Status
from shared.providers.base import Account, Provider
from shared.providers.noonlight.additions import Additions
from shared.providers.noonlight.certificates import Certifier
from shared.providers.noonlight.client import Client
from shared.providers.noonlight.hosts import host_problems
from shared.providers.noonlight.mapping import is_attribute_map
from shared.providers.noonlight.probing import Prober
from shared.providers.noonlight.rehearsed import Rehearsed
from shared.providers.noonlight.verifying import Verifier
from shared.providers.noonlight.webhook import Hook
from shared.providers.options import FOLLOWING, SWITCH, TEXT, TEXTS, Rule, at_least, one_of, option_problems, tuned

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def _are_keys(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) and _KEY.fullmatch(key) for key in value.values())


_OPTIONS: dict[str, Rule] = {
    "signature_header": TEXT,
    "signature_canonical_fallback": SWITCH,
    "regions": TEXTS,
    "entry_max": at_least(50),
    "allow_other": SWITCH,
    "workflow": TEXT,
    "workflow_style": one_of("object", "flat"),
    "attribute_map": (is_attribute_map, "a map of an attribute or a kind to [attribute, value] of the provider"),
    "person_keys": (_are_keys, "a map of our names to the provider's"),
    "person_update": one_of("whole", "changes"),
    **FOLLOWING,
}
# The status never says that an alarm was closed: after four hours a person is asked to look.
_CADENCE = Cadence(
    every_s=30.0,
    hooked_s=30.0,
    later_s=300.0,
    later_after_s=14_400.0,
    told_after_s=14_400.0,
    ends=frozenset({Status.CLOSED, Status.CANCELLED}),
    sees_close=False,
)


def check_account(account: Account) -> Sequence[str]:
    """Problems of host, environment, credentials and options. A sandbox token does not work in production."""
    problems = host_problems(account) + option_problems(account.options, _OPTIONS)
    if not account.credentials.get("token"):
        problems.append("the credential token is missing")
    return problems


def cadence(account: Account) -> Cadence:
    """How often open alarms are asked for."""
    return tuned(_CADENCE, account.options)


_client = Client()
_additions = Additions()

PROVIDER = Provider(
    name="noonlight",
    dispatch=_client,
    webhooks=Hook(),
    cadence=cadence,
    verifier=Verifier(),
    events=_additions,
    locations=_additions,
    people=_additions,
    person=_additions,
    certificates=Certifier(),
    probe=Prober(),
    specimens=Rehearsed(),
    cannot={
        "notes": "Noonlight takes no text after the alarm was created",
        "registration": "Noonlight takes the address of a webhook in its developer portal only",
        "note_stream": "Noonlight shows no texts of its dispatchers",
        "sites": "Noonlight keeps no directory of sites; the address travels with each alarm",
        "bulk": "Noonlight keeps no directory of sites",
        "lookup": "Noonlight cannot list alarms",
    },
    check_account=check_account,
)
