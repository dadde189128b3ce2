"""AURA Guard Response (docs.aurasos.com): armed response to registered sites, with a look-up of active callouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.domain.cadence import Cadence
from shared.providers.aura.client import Client
from shared.providers.aura.notes import Notebook
from shared.providers.aura.paths import DEFAULTS
from shared.providers.aura.portfolio import Portfolio
from shared.providers.aura.probing import Prober
from shared.providers.aura.registration import Registrar
from shared.providers.aura.rehearsed import Rehearsed
from shared.providers.aura.sites import Directory
from shared.providers.aura.webhook import Hook
from shared.providers.base import Account, Provider
from shared.providers.guard import base_url_problems, is_loopback_host
from shared.providers.options import FOLLOWING, TEXT, TEXTS, Rule, at_least, one_of, option_problems, tuned

_OPTIONS: dict[str, Rule] = {
    "installer_identifier": TEXT,
    "response_type_id": at_least(0),
    "callout_classification_id": at_least(0),
    "callout_location_type_id": at_least(0),
    "paths": (lambda v: isinstance(v, dict) and _are_paths(v), f"a map of {', '.join(DEFAULTS)} to paths"),
    "note_source": TEXT,
    "note_payload": one_of("source_event", "message"),
    "note_max": at_least(1),
    "eta_unit": one_of("seconds", "minutes"),
    "eta_fields": TEXTS,
    "paging": one_of("none", "page", "offset"),
    "page_size": at_least(1),
    "drift": one_of("report", "repair"),
    "webhook_header": TEXT,
    "webhook_scheme": (lambda v: isinstance(v, str), "a text"),
    **FOLLOWING,
}
# Staging callouts send no webhooks and never close by themselves; "every 5 to 20 s while active" is the older guidance
# (Update callout location).
_CADENCE = Cadence(every_s=20.0, hooked_s=60.0, later_s=300.0, later_after_s=7_200.0, told_after_s=86_400.0)


def check_account(account: Account) -> Sequence[str]:
    """Problems of host, environment, credentials and options. No production host is documented, so none is required."""
    problems = base_url_problems(account.base_url) + option_problems(account.options, _OPTIONS)
    for name in ("client_id", "client_secret"):
        if not account.credentials.get(name):
            problems.append(f"the credential {name} is missing")
    if account.environment not in ("staging", "production"):
        problems.append("environment must be staging or production")
    host = "" if problems else (urlsplit(account.base_url).hostname or "")
    if host and not is_loopback_host(host) and host.startswith("staging-") != (account.environment == "staging"):
        problems.append("a staging- host belongs to environment staging, and only it")
    return problems


def _are_paths(paths: dict[str, Any]) -> bool:
    return all(name in DEFAULTS and isinstance(path, str) and path.startswith("/") for name, path in paths.items())


def cadence(account: Account) -> Cadence:
    """How often open callouts are asked for."""
    return tuned(_CADENCE, account.options)


_client = Client()
_notebook = Notebook()

PROVIDER = Provider(
    name="aura",
    dispatch=_client,
    webhooks=Hook(),
    cadence=cadence,
    lookup=_client,
    notes=_notebook,
    note_stream=_notebook,
    registration=Registrar(),
    sites=Directory(),
    bulk=Portfolio(),
    probe=Prober(),
    specimens=Rehearsed(),
    needs_site=True,
    cannot={
        "events": "AURA takes device events as notes only",
        "locations": "AURA answers at a registered site, which does not move",
        "people": "AURA takes no people with a callout; a site's contacts go along as a note",
        "person": "AURA keeps no data of a person with a callout",
        "verifier": "AURA looks at no pictures before it responds",
        "certificates": "AURA issues no monitoring certificates",
    },
    check_account=check_account,
)
