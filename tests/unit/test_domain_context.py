"""What a dispatcher reads: labelled lines that nobody's text can forge."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.alarm import Site
from shared.domain.context import MAX_LINE, clean, lines
from shared.domain.kinds import Kind

SITE = Site(reference="s-1", name="Warehouse", account_number="A-77", notes="Dog", gate_instructions="Ring twice")


def _lines(**given_: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "kind": Kind.PANIC,
        "incident_ref": "r-1",
        "test": False,
        "details": {},
        "site": None,
        "contacts": [],
        "possible_double": False,
    }
    return dict(lines(**{**values, **given_}))


def test_all_that_is_known_is_on_a_line_of_its_own() -> None:
    """Kind, zone, message, device, gate, notes, account, contact, reference."""
    found = _lines(
        site=SITE,
        details={"zone": "3", "message": "Back door", "device": {"name": "Sensor", "value": "open"}},
        contacts=[{"name": "Jo", "phone": "+12025550100", "note": "keys", "phone_verified_at": "2026-01-01"}],
    )
    assert found == {
        "ALARM": "panic",
        "ZONE": "3",
        "MESSAGE": "Back door",
        "DEVICE": "Sensor open",
        "GATE": "Ring twice",
        "SITE": "Dog",
        "ACCOUNT": "A-77",
        "CONTACT": "Jo +12025550100 keys",
        "REF": "r-1",
    }


def test_test_and_possible_double_stand_first() -> None:
    """What changes everything is read first."""
    labels = [
        label
        for label, _ in lines(
            kind=Kind.PANIC, incident_ref="r", test=True, details={}, site=None, contacts=[], possible_double=True
        )
    ]
    assert labels[:3] == ["TEST", "NOTE", "ALARM"]


def test_unverified_phone_is_flagged() -> None:
    """Of the caller, and of each contact."""
    found = _lines(details={"person": {"name": "Al", "phone": "1"}}, contacts=[{"name": "Jo", "phone": "2"}])
    assert "not verified" in found["PHONE"]
    assert "not verified" in found["CONTACT"]


@given(text=st.text(max_size=1000))
def test_no_text_makes_a_second_line_or_a_control_character(text: str) -> None:
    """A message that holds a line break and `TEST:` stays one line of a message."""
    once = clean(text)
    assert len(once) <= MAX_LINE
    assert once.isprintable()
    assert clean(once) == once.strip()
