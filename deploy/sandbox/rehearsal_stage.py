"""The sandbox as Tocsin's counterpart at a desk: its configuration, its process, and the settings that point to it."""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FILE = "sandbox.json"
# The sandbox's ETA is `etaSeconds`; AURA does not publish the unit of its own.
_AURA_OPTIONS = {"eta_unit": "seconds", "report_url_template": "https://portal.example.com/callouts/{id}/report"}


def configuration(known: Mapping[str, Any], web_url: str, port: Callable[[int | None], int]) -> dict[str, Any]:
    """The sandbox's configuration, with the secrets of `known` (a former one) and hooks at `web_url`.

    `port` is asked for a free port, and told which one was used before.
    """
    fresh: dict[str, dict[str, Any]] = {
        "noonlight": {"token": secrets.token_hex(16), "webhook_secret": secrets.token_hex(16)},
        "aura": {
            "client_id": "tocsin-desk",
            "client_secret": secrets.token_hex(16),
            "webhook_secret": secrets.token_hex(16),
        },
        "platform": {"writeback_secret": _signing_secret(), "escalation_secret": _signing_secret()},
    }
    made = {name: {**values, **known.get(name, {})} for name, values in fresh.items()}
    for values in made.values():
        values["port"] = port(values.get("port"))
    for name in ("noonlight", "aura"):
        made[name]["webhook_url"] = f"{web_url}/webhooks/{name}"
    return made


def command(file: Path) -> str:
    """The line that runs the sandbox on a configuration file."""
    return f"{shlex.quote(sys.executable)} -m deploy.sandbox --config {shlex.quote(str(file))}"


def settings(made: Mapping[str, Any]) -> dict[str, Any]:
    """What Tocsin must be told, by the names of its settings."""
    urls = _urls(made)
    return {
        "noonlight_base_url": urls["noonlight"],
        "noonlight_token": made["noonlight"]["token"],
        "noonlight_webhook_secrets": made["noonlight"]["webhook_secret"],
        "noonlight_environment": "staging",
        "aura_base_url": urls["aura"],
        "aura_client_id": made["aura"]["client_id"],
        "aura_client_secret": made["aura"]["client_secret"],
        "aura_webhook_secrets": made["aura"]["webhook_secret"],
        "aura_environment": "staging",
        "aura_options": _AURA_OPTIONS,
        "escalation_url": f"{urls['platform']}/escalation",
        "escalation_secret": made["platform"]["escalation_secret"],
    }


def writeback(made: Mapping[str, Any]) -> tuple[str, str]:
    """The platform's write-back address and secret."""
    return f"{_urls(made)['platform']}/writebacks", made["platform"]["writeback_secret"]


def described(made: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a person or a test needs of each service: where it is, and the secrets that both sides share."""
    urls = _urls(made)
    shown: dict[str, dict[str, str]] = {name: {"url": url, "control": f"{url}/_control"} for name, url in urls.items()}
    for name in ("noonlight", "aura"):
        shown[name] |= {key: made[name][key] for key in ("webhook_url", "webhook_secret")}
    shown["platform"] |= {key: made["platform"][key] for key in ("writeback_secret", "escalation_secret")}
    shown["platform"] |= {
        "writebacks": f"{urls['platform']}/_writebacks",
        "escalations": f"{urls['platform']}/_escalations",
    }
    return shown


def _urls(made: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"http://127.0.0.1:{values['port']}" for name, values in made.items()}


def _signing_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def as_text(value: Any) -> str:
    """A setting as the environment carries it."""
    return value if isinstance(value, str) else json.dumps(value)
