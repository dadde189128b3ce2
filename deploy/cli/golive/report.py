"""A line of the go-live list: what was looked at, how it came out, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Only `FAILED` keeps Tocsin from going live; `PERSON` is for somebody to look at, whom no program replaces."""

    PASSED = "pass"
    FAILED = "fail"
    PERSON = "needs a person"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Line:
    """One finding; `account` is empty where it is about the whole."""

    check: str
    account: str
    verdict: Verdict
    why: str

    def as_json(self) -> dict[str, str]:
        """For a program, and for the table."""
        return {"check": self.check, "account": self.account, "verdict": self.verdict.value, "why": self.why}


def judged(check: str, account: str, faults: list[str], otherwise: str) -> Line:
    """Passed with the words `otherwise`, or failed with its faults."""
    if faults:
        return Line(check, account, Verdict.FAILED, "; ".join(faults))
    return Line(check, account, Verdict.PASSED, otherwise)


def person(check: str, account: str, why: str) -> Line:
    """Somebody has to look."""
    return Line(check, account, Verdict.PERSON, why)


def not_applicable(check: str, account: str, why: str) -> Line:
    """There is nothing of the kind here."""
    return Line(check, account, Verdict.NOT_APPLICABLE, why)
