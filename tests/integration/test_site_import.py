"""A portfolio from file to provider: checked by row, guarded, uploaded as a whole, called back, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.town import QUICK, Town, open_town
from workers.deps import Deps
from workers.services import importing, reconciling

HEAD = "site_ref,name,latitude,longitude,address,notes\n"
UPLOAD = "/v1/predefinedlocations/upload"


def rows(count: int, first: int = 0) -> str:
    """So many good rows."""
    return "".join(f"s-{n},Depot {n},-33.9,18.{n:03d},{n} Long Street,\n" for n in range(first, first + count))


@pytest.fixture(scope="module")
def shared_town(embedded: Embedded) -> Iterator[Town]:
    """One town for the module; its account at the guard takes portfolios."""
    with open_town(embedded, **QUICK) as town:
        town.change("UPDATE provider_account SET site_mode = 'csv' WHERE provider = 'aura'")
        yield town


@pytest.fixture
def town(shared_town: Town) -> Town:
    """The town with no sites on either side."""
    shared_town.aura("_reset")
    shared_town.platform("_reset")
    shared_town.policy()
    shared_town.change("TRUNCATE drift, site_import, reconciliation_run, notice RESTART IDENTITY CASCADE")
    shared_town.change("TRUNCATE site CASCADE")
    return shared_town


@pytest.fixture
def deps(town: Town) -> Deps:
    """A worker that the provider can call back."""
    return town.new_deps(public_url=town.url)


def hand_over(town: Town, text: str, query: str = "", kind: str = "text/csv") -> requests.Response:
    """Post a file as the platform does."""
    headers = {"Authorization": f"Bearer {town.key}", "Content-Type": kind}
    url = f"{town.url}/v1/site-imports{query}"
    return requests.post(url, data=text.encode(), headers=headers, timeout=20)


def shown(town: Town, number: int) -> dict[str, Any]:
    """The import as the API shows it."""
    headers = {"Authorization": f"Bearer {town.key}"}
    found: dict[str, Any] = requests.get(f"{town.url}/v1/site-imports/{number}", headers=headers, timeout=20).json()
    return found


def work(town: Town, deps: Deps, text: str, query: str = "") -> dict[str, Any]:
    """Hand over, and work to the end."""
    answer = hand_over(town, text, query)
    assert answer.status_code == 202, answer.text
    number = answer.json()["id"]

    def over() -> bool:
        while importing.work_due(deps) or reconciling.work_wanted(deps):
            pass
        return shown(town, number)["ended_at"] is not None

    town.until(over, lanes=(Lane.OUTGOING,))
    return shown(town, number)


def listed(town: Town) -> set[str]:
    """The living references at the provider."""
    return {row["externalReferenceId"] for row in town.aura("_state")["locations"] if not row.get("deletedAt")}


def test_portfolio_reaches_the_provider_and_is_compared(town: Town, deps: Deps) -> None:
    """Saved, uploaded once, called back at a secret address, and found equal; its alarms go out by reference."""
    done = work(town, deps, HEAD + rows(3))

    assert (done["state"], done["good"], done["saved"], done["uploaded"]) == ("done", 3, 3, 3)
    assert done["called_back_at"]
    assert listed(town) == {"s-0", "s-1", "s-2"}
    assert len([entry for entry in town.aura("_log") if entry["path"] == UPLOAD]) == 1
    assert town.one("SELECT counts FROM reconciliation_run WHERE cause = 'import'") == {}
    assert town.one("SELECT count(*) FROM site WHERE provider_site_id IS NOT NULL AND synced_version = version") == 3
    assert town.one("SELECT content IS NULL AND callback IS NOT NULL FROM site_import")
    incident = town.site_alarm("s-1", "panic")
    town.until(lambda: town.status(incident) == "requested")


def test_file_with_a_bad_row_changes_nothing(town: Town, deps: Deps) -> None:
    """Each bad row by line and column, the good ones counted."""
    text = HEAD + rows(2) + "s-9,,1,2,,\n" + "s-1,Twin,1,2,,\n" + "s-8,Nowhere,0,0,,\n"
    refused = work(town, deps, text)

    assert (refused["state"], refused["good"], refused["bad"]) == ("refused", 2, 3)
    assert [(fault["line"], fault["column"]) for fault in refused["faults"]] == [(4, "name"), (5, "site_ref"), (6, "")]
    assert town.one("SELECT count(*) FROM site") == 0
    assert listed(town) == set()


def test_dry_run_changes_nothing(town: Town, deps: Deps) -> None:
    """Also of a file that is fine."""
    checked = work(town, deps, HEAD + rows(2), "?dry_run=true")
    assert (checked["state"], checked["good"], checked["bad"]) == ("checked", 2, 0)
    assert town.one("SELECT count(*) FROM site") == 0


def test_small_file_is_refused_when_the_last_one_was_larger(town: Town, deps: Deps) -> None:
    """A tenth less is a fall; by word it is taken, and what is absent is deleted on both sides."""
    work(town, deps, HEAD + rows(10))
    refused = work(town, deps, HEAD + rows(8))
    assert refused["state"] == "refused"
    assert "8 rows after 10" in refused["reason"]
    assert len(listed(town)) == 10

    town.site_alarm("s-9")
    done = work(town, deps, HEAD + rows(8), "?allow_fall=true")
    assert (done["state"], done["removed"]) == ("done", 1)
    assert listed(town) == {f"s-{n}" for n in range(8)} | {"s-9"}


def test_first_file_is_refused_when_the_provider_lists_far_more(town: Town, deps: Deps) -> None:
    """A portfolio that was made in the portal is not wiped by a first, small upload."""
    made = [{"add": {"externalReferenceId": f"p-{n}", "latitude": "1", "longitude": "1"}} for n in range(5)]
    town.aura("_control", portal=made)
    refused = work(town, deps, HEAD + rows(3))
    assert "3 rows after 5" in refused["reason"]
    assert len(listed(town)) == 5


def test_saved_site_stays_here_until_the_next_upload(town: Town, deps: Deps) -> None:
    """A PUT tells the provider nothing; the next upload does, although its file does not hold the site."""
    work(town, deps, HEAD + rows(2))
    town.guarded_site("put-1", synced=False)
    town.settle()
    assert listed(town) == {"s-0", "s-1"}
    work(town, deps, HEAD + rows(2))
    assert listed(town) == {"s-0", "s-1", "put-1"}


def test_import_is_compared_all_the_same_when_no_call_back_comes(town: Town) -> None:
    """After the time-out; it has failed then, and a person is told."""
    deps = town.new_deps(public_url=town.url, import_callback_s=0.3)
    town.aura("_control", csv_callback=False)
    failed = work(town, deps, HEAD + rows(2))

    assert (failed["state"], failed["called_back_at"]) == ("failed", None)
    assert "did not call back" in failed["reason"]
    assert town.one("SELECT state FROM reconciliation_run WHERE cause = 'import'") == "done"
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "site_import"])


def test_nothing_is_judged_while_an_upload_is_under_way(town: Town, deps: Deps) -> None:
    """The provider has taken the file and not worked it: a comparison must not call everything missing."""
    town.aura("_control", csv_delay_s=30)
    hand_over(town, HEAD + rows(3))
    while importing.work_due(deps):
        pass
    assert town.one("SELECT state FROM site_import") == "awaiting"
    town.post("/v1/site-reconciliations", {})
    assert reconciling.work_wanted(deps)
    assert town.rows("SELECT state, counts FROM reconciliation_run") == [("done", {})]


def test_upload_is_tried_again_when_its_answer_is_lost(town: Town, deps: Deps) -> None:
    """A synchronisation that arrives twice is the same."""
    town.aura("_control", drop_answer=[{"path": UPLOAD, "times": 1}])
    answer = hand_over(town, HEAD + rows(2))
    while importing.work_due(deps):
        pass
    assert shown(town, answer.json()["id"])["state"] == "saved"
    town.change("UPDATE site_import SET next_attempt_at = now()")

    def over() -> bool:
        while importing.work_due(deps) or reconciling.work_wanted(deps):
            pass
        return bool(shown(town, answer.json()["id"])["state"] == "done")

    town.until(over, lanes=(Lane.OUTGOING,))
    assert len([entry for entry in town.aura("_log") if entry["path"] == UPLOAD]) == 2


def test_import_fails_when_the_provider_cannot_call_back(town: Town) -> None:
    """https, or loopback at a desk."""
    failed = work(town, town.new_deps(public_url="http://tocsin.example"), HEAD + rows(1))
    assert (failed["state"], "https" in failed["reason"]) == ("failed", True)


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b"\x00\xff"])
def test_call_back_is_kept_as_it_is(town: Town, deps: Deps, body: bytes) -> None:
    """Any body or none; an unknown secret is 404."""
    work(town, deps, HEAD + rows(1))
    secret = deps.box.open(town.one("SELECT secret FROM site_import"))
    assert requests.post(f"{town.url}/callbacks/site-imports/{secret}", data=body, timeout=20).status_code == 202
    assert requests.post(f"{town.url}/callbacks/site-imports/x{secret}", data=body, timeout=20).status_code == 404


def test_form_is_taken_and_other_bodies_are_not(town: Town) -> None:
    """One file in a form, or the file itself; one import at a time."""
    url, headers = f"{town.url}/v1/site-imports", {"Authorization": f"Bearer {town.key}"}
    assert hand_over(town, "{}", kind="application/json").status_code == 415
    assert hand_over(town, "x", kind="multipart/form-data; boundary=y").status_code == 400
    taken = requests.post(url, files={"file": ("a.csv", HEAD + rows(1))}, headers=headers, timeout=20)
    assert taken.status_code == 202
    assert hand_over(town, HEAD + rows(1)).status_code == 409
    assert hand_over(town, HEAD, "?account=noonlight").status_code == 409


def test_ambiguous_site_stays_blocked_when_it_is_saved_again(town: Town, deps: Deps) -> None:
    """Only a listing clears it."""
    work(town, deps, HEAD + rows(1))
    town.aura("_control", portal=[{"add": {"externalReferenceId": "s-0", "latitude": "1", "longitude": "1"}}])
    town.post("/v1/site-reconciliations", {})
    assert reconciling.work_wanted(deps)
    town.guarded_site("s-0", synced=False)
    incident = town.site_alarm("s-0", "panic")
    town.until(lambda: town.status(incident) == "failed")
    assert "ambiguous" in town.incident(incident)["reason"]
