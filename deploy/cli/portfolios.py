"""`tocsin sites import|export`: a portfolio of sites from a CSV file, and into one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from deploy.cli.faults import CommandError
from deploy.cli.progress import Progress
from deploy.cli.reach import Reach, reach
from deploy.cli.show import say, show, show_all
from deploy.cli.words import Commands, command, take_platform
from shared.accounts import account_value
from shared.domain import portfolio
from shared.domain.alarm import Address, Coordinates, Site
from shared.domain.lanes import Lane
from shared.domain.portfolio import Fault, NoPortfolio
from shared.providers import registry
from shared.store import importing, reconciling
from shared.store.models import ProviderAccount, SiteImport

LOOK_EVERY_S = 0.5
BATCH = 1_000
FAULTS_SHOWN = 100
_DELIMITERS = {",": ",", ";": ";", "tab": "\t"}


def add(own: Commands) -> None:
    """Declare the commands."""
    one = command(own, "import", run_import, "hand over a portfolio as one CSV file; workers must run")
    one.add_argument("file", type=Path, metavar="FILE")
    _take_account(one)
    one.add_argument("--dry-run", action="store_true", help="only say what is wrong, by line and column")
    one.add_argument("--delimiter", choices=sorted(_DELIMITERS), help="found in the header unless given")
    one.add_argument("--keep-absent", action="store_true", help="keep uploaded sites that the file does not hold")
    one.add_argument("--allow-fall", action="store_true", help="take a file that is much smaller than the last one")
    other = command(own, "export", run_export, "write the sites of an account as CSV, fit for spreadsheets")
    _take_account(other)
    other.add_argument("--to", type=Path, metavar="FILE", help="(default: stdout)")


def _take_account(parser: argparse.ArgumentParser) -> None:
    take_platform(parser)
    parser.add_argument("--account", metavar="ID", help="needed where more than one would do")


def run_import(arguments: argparse.Namespace) -> int:
    """Check the file here, row by row; hand it over unless it is a dry run or has faults."""
    try:
        content = arguments.file.read_bytes()
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}") from None
    with reach() as here:
        account = _account(here, arguments, bulk=True)
        good, faults = _check(here, account, content, _DELIMITERS.get(arguments.delimiter))
        reason = "" if faults or arguments.allow_fall or arguments.keep_absent else _fall(here, account, good)
    bad = len({fault.line for fault in faults})
    if arguments.dry_run or faults:
        _report(good, bad, faults, reason, as_json=arguments.json)
        return 1 if faults or reason else 0
    row = _watched(_hand_over(arguments, account.id, content), good)
    shown = {name: getattr(row, name) for name in ("id", "state", "good", "saved", "removed", "uploaded", "reason")}
    show(shown, as_json=arguments.json)
    return 0 if row.state == "done" else 1


def _account(here: Reach, arguments: argparse.Namespace, *, bulk: bool) -> ProviderAccount:
    here.platform(arguments.platform)
    query = select(ProviderAccount).where(ProviderAccount.platform_id == arguments.platform)
    if arguments.account:
        query = query.where(ProviderAccount.id == arguments.account)
    found = list(here.session.scalars(query))
    if bulk:
        found = [row for row in found if row.site_mode == "csv" and registry.get(row.provider).bulk is not None]
    if len(found) != 1:
        what = "account whose sites go to the provider as portfolios (site_mode csv)" if bulk else "account"
        raise CommandError(f"name one {what} by --account; {len(found)} would do")
    return found[0]


def _check(here: Reach, account: ProviderAccount, content: bytes, delimiter: str | None) -> tuple[int, list[Fault]]:
    """How many rows are good, and what is wrong with the others."""
    directory = registry.get(account.provider).sites
    value = account_value(account, here.box)
    bar, total = Progress("checked"), content.count(b"\n")
    good, faults = 0, list[Fault]()
    try:
        for entry in portfolio.read(content, delimiter):
            wrong = list(entry.faults)
            if entry.site is not None and directory is not None:
                wrong += [Fault(entry.line, "", reason) for reason in directory.check_site(value, entry.site)]
            good += not wrong
            faults += wrong
            if entry.line % BATCH == 0:
                bar.draw(entry.line, total)
    except NoPortfolio as error:
        faults.append(error.fault)
    finally:
        bar.end()
    return good, faults


def _fall(here: Reach, account: ProviderAccount, good: int) -> str:
    """Why so few rows would be refused; the first upload is compared with the provider's listing by the work only."""
    before = importing.last_upload(here.session, account.id)
    if before is None or not portfolio.shrinks(before, good, here.settings.import_fall_share):
        return ""
    return portfolio.fall(before, good, here.settings.import_fall_share)


def _report(good: int, bad: int, faults: list[Fault], reason: str, *, as_json: bool) -> None:
    if as_json:
        found = [asdict(fault) for fault in faults]
        show({"good": good, "bad": bad, "faults": found, "reason": reason}, as_json=True)
        return
    if faults:
        show_all([asdict(fault) for fault in faults[:FAULTS_SHOWN]], as_json=False)
    more = f"; {len(faults) - FAULTS_SHOWN} more faults, all of them with --json" if len(faults) > FAULTS_SHOWN else ""
    say(f"{good} rows are good, {bad} are not{more}")
    if reason:
        say(f"the file would be refused: {reason}")


def _hand_over(arguments: argparse.Namespace, account_id: str, content: bytes) -> int:
    with reach() as here:
        limit = here.settings.max_import_bytes
        if len(content) > limit:
            raise CommandError(f"the file is larger than {limit} bytes (TOCSIN_MAX_IMPORT_BYTES)")
        row = SiteImport(
            platform_id=arguments.platform,
            account_id=account_id,
            keep_absent=arguments.keep_absent,
            allow_fall=arguments.allow_fall,
            delimiter=_DELIMITERS.get(arguments.delimiter),
            content=here.box.seal_bytes(content),
        )
        here.session.add(row)
        try:
            here.session.flush()
        except IntegrityError:
            raise CommandError("another import of this account is not over yet") from None
        reconciling.hurry(here.session)
        here.write_down(arguments.platform, "sites.import", f"import:{row.id}", {"bytes": len(content)})
        here.ring(Lane.PERIODIC)
        return row.id


def _watched(import_id: int, good: int) -> SiteImport:
    """The import at its end, with a bar on the way."""
    bar = Progress("sites")
    try:
        while True:
            with reach() as here:
                row = here.session.get_one(SiteImport, import_id)
            bar.draw(row.saved, good, row.state)
            if row.ended_at is not None:
                return row
            time.sleep(LOOK_EVERY_S)
    finally:
        bar.end()


def run_export(arguments: argparse.Namespace) -> int:
    """Write them by reference, a page in memory at a time."""
    out = arguments.to.open("w", encoding="utf-8", newline="") if arguments.to else sys.stdout
    bar, count = Progress("exported"), 0
    try:
        with reach() as here:
            account = _account(here, arguments, bulk=False)
            total = importing.living(here.session, account.id)
            for line in portfolio.write(_sites(here, account.id)):
                out.write(line)
                count += 1
                if arguments.to and count % BATCH == 0:
                    bar.draw(count, total)
    finally:
        bar.end()
        if arguments.to:
            out.close()
    if arguments.to:
        show({"sites": count - 1, "file": str(arguments.to)}, as_json=arguments.json)
    return 0


def _sites(here: Reach, account_id: str) -> Iterator[Site]:
    after = ""
    while page := importing.uploadable(here.session, account_id, after, BATCH):
        yield from (_site(row) for row in page if row.deleted_at is None)
        after = page[-1].reference


def _site(row: Any) -> Site:
    return Site(
        reference=row.reference,
        name=row.name,
        address=Address(**row.address) if row.address else None,
        coordinates=None if row.lat is None or row.lng is None else Coordinates(row.lat, row.lng),
        account_number=row.account_number,
        notes=row.notes,
        gate_instructions=row.gate_instructions,
    )
