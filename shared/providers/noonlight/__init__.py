"""Noonlight Dispatch (docs.noonlight.com): US only, one alarm per call, followed by webhooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shared.providers.base import Account, Provider
from shared.providers.noonlight.additions import Additions
from shared.providers.noonlight.certificates import Certifier
from shared.providers.noonlight.client import Client
from shared.providers.noonlight.hosts import host_problems
from shared.providers.noonlight.mapping import is_attribute_map
from shared.providers.noonlight.probing import Prober
from shared.providers.noonlight.rehearsed import Rehearsed
from shared.providers.noonlight.webhook import Hook
from shared.providers.options import SWITCH, TEXT, TEXTS, Rule, at_least, one_of, option_problems

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
}


def check_account(account: Account) -> Sequence[str]:
    """Problems of host, environment, credentials and options. A sandbox token does not work in production."""
    problems = host_problems(account) + option_problems(account.options, _OPTIONS)
    if not account.credentials.get("token"):
        problems.append("the credential token is missing")
    return problems


_client = Client()
_additions = Additions()

PROVIDER = Provider(
    name="noonlight",
    dispatch=_client,
    webhooks=Hook(),
    events=_additions,
    locations=_additions,
    people=_additions,
    person=_additions,
    certificates=Certifier(),
    probe=Prober(),
    specimens=Rehearsed(),
    cannot={
        "notes": "Noonlight takes no text after the alarm was created",
        "sites": "Noonlight keeps no directory of sites; the address travels with each alarm",
        "lookup": "Noonlight cannot list alarms",
    },
    check_account=check_account,
)
