"""URLs that customers give us, and what may be logged."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from shared.log import frames_only, without_personal_data
from shared.platforms.endpoints import problems
from shared.providers.guard import Guard

_LOGGER = logging.getLogger("test")


@pytest.mark.parametrize(
    "url",
    [
        "https://ops.example.com/in?a=1",
        "https://ops.example.com:8443/",
        "http://127.0.0.1:9000/x",
        "http://localhost/x",
        "http://[::1]:8080/",
        "https://8.8.8.8/",
    ],
)
def test_url_is_fine_when_it_is_https_or_loopback(url: str) -> None:
    """The default policy."""
    assert problems(url, Guard()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ops.example.com",
        "ftp://ops.example.com/",
        "http://ops.example.com/",
        "https://user@ops.example.com/",
        "https://user:pw@ops.example.com/",
        "https://@ops.example.com/",
        "https://ops.example.com/#x",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://ops.example.com:99999/",
        "https://[::1/",
        "https://ops.example.com/a b",
        "https://ops.example.com/\n",
        "https://" + "x" * 3000,
    ],
)
def test_url_is_refused_when_it_could_reach_inside(url: str) -> None:
    """Judged on its text; resolved addresses are judged when we connect."""
    assert problems(url, Guard())


def test_private_url_is_fine_only_when_it_is_allowed() -> None:
    """Link-local and metadata never are."""
    assert problems("http://10.0.0.1/", Guard(allow_private=True)) == []
    assert problems("https://169.254.169.254/", Guard(allow_private=True))


def test_log_drops_personal_keys_at_every_depth() -> None:
    """Whoever logs a phone by mistake logs nothing."""
    event: dict[str, Any] = {"event": "x", "phone": "1", "deep": [{"pin": "2", "ok": 1}], "Token": "3"}

    assert without_personal_data(_LOGGER, "info", event) == {"event": "x", "deep": [{"ok": 1}]}


def test_log_has_frames_and_no_text_of_an_error() -> None:
    """The text of an error may quote what somebody sent."""
    try:
        raise ValueError("phone 4711")
    except ValueError as error:
        event = frames_only(_LOGGER, "error", {"event": "x", "exc_info": error})

    assert event["error"] == "ValueError"
    assert "4711" not in str(event)
