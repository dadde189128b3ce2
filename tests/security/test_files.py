"""Files that are no portfolios: bombs, archives, forms that overflow. They are refused by name, and cost little."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from shared.clock import boot_time
from shared.domain import portfolio
from shared.domain.alarm import Coordinates, Site
from shared.domain.portfolio import NoPortfolio
from shared.providers.http import AnswerLost, exchange
from tests.integration.door_stage import Reply, Stage
from tests.raw_server import RawServer, answering

ROOT = Path(__file__).resolve().parents[2]
HEAD = b"site_ref,name,latitude,longitude\n"
MB = 1_000_000


def zipped(name: str) -> bytes:
    """An archive whose one file unpacks to this place."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, HEAD + b"a,A,1,2\n")
    return out.getvalue()


def tarred(name: str) -> bytes:
    """The same as a tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


BOMBS = {
    "a row of commas": HEAD + b"," * 20 * MB,
    "a header of commas": b"," * 20 * MB,
    "a quote that never ends": HEAD + b'a,"' + b"x" * 20 * MB,
    "a quote over many lines": HEAD + b'a,"' + b"x\n" * 5 * MB,
    "cells over many quotes": HEAD + b'a,"\n"' * 2 * MB,
    "one endless cell": HEAD + b"a," + b"x" * 20 * MB + b",1,2\n",
    "one column a million times": b",".join([b"name"] * MB),
    "quotes only": b'"' * 20 * MB,
    "a zip file": zipped("../../etc/cron.d/x"),
    "a tar file": tarred("../../etc/cron.d/x"),
    "a gzip file": gzip.compress(HEAD + b"a,A,1,2\n"),
    "UTF-16": (HEAD + b"a,A,1,2\n").decode().encode("utf-16"),
    "NULs": b"\x00" * MB,
}


def taken(content: bytes) -> int:
    """How many sites the file holds."""
    return sum(entry.site is not None for entry in portfolio.read(content))


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_and_costs_little(name: str) -> None:
    """A few times the memory of the file itself."""
    content = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(NoPortfolio):
            taken(content)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(content) + MB
    finally:
        tracemalloc.stop()


def test_file_of_endless_rows_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows are ten times the largest portfolio."""
    monkeypatch.setattr(portfolio, "_MOST_ROWS", 10)
    rows = b"".join(b"r%d,A,1,2\n" % number for number in range(11))

    assert len(list(portfolio.read(HEAD + rows.partition(b"r10")[0]))) == 10
    with pytest.raises(NoPortfolio, match="is the row after 10"):
        list(portfolio.read(HEAD + rows))


def test_no_cell_of_an_export_is_a_formula() -> None:
    """Whoever opens the file in a spreadsheet runs nothing of what a platform has saved."""
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", '"=1"', "'=1", "a\n=1"]
    sites = [Site(text, text, None, Coordinates(1, 2), text, text, text) for text in evil]
    exported = "".join(portfolio.write(sites))
    for row in list(csv.reader(io.StringIO(exported, newline="")))[1:]:
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_nothing_here_unpacks_an_archive() -> None:
    """So no archive can unpack to a place of its own choice (zip-slip)."""
    unpacking = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib", "shutil.unpack_archive", "py7zr", "rarfile"}
    for package in ("webhooks_app", "workers", "shared"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not unpacking & set(names), file


@pytest.fixture
def bulk(stage: Stage) -> Stage:
    """A platform that takes portfolios."""
    stage.account("aura", site_mode="csv")
    return stage


def upload(stage: Stage, body: Any, content_type: str, **headers: str) -> Reply:
    """Hand over a file."""
    given = stage.headers() | headers
    return Reply.of(stage.client.post("/v1/site-imports", data=body, content_type=content_type, headers=given))


@pytest.mark.parametrize(
    "kind", ["application/zip", "application/gzip", "application/octet-stream", "text/html", "application/json", ""]
)
def test_file_of_another_type_is_refused(bulk: Stage, kind: str) -> None:
    """415 with what is taken."""
    assert upload(bulk, zipped("x"), kind).status_code == 415


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_compressed_upload_is_refused(bulk: Stage, encoding: str) -> None:
    """Nothing is unpacked on the way: what is small here might be large."""
    answer = upload(bulk, gzip.compress(HEAD), "text/csv", **{"Content-Encoding": encoding})
    assert answer.status_code == 415


def test_name_of_a_file_is_not_used(bulk: Stage, tmp_path: Path) -> None:
    """Wherever it points."""
    target = tmp_path / "x.csv"
    form = {"file": (io.BytesIO(HEAD + b"a,A,1,2\n"), f"../../../../../../..{target}")}

    assert upload(bulk, form, "multipart/form-data").status_code == 202
    assert not target.exists()


def test_form_of_many_parts_is_refused(bulk: Stage) -> None:
    """As one that is too large, and as one that cannot be read."""
    many = (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n\r\n' % n for n in range(5_000))
        + b"--x--\r\n"
    )
    assert upload(bulk, many, "multipart/form-data; boundary=x").status_code == 413
    for broken in (b"", b"--x", b"--x\r\n\r\n", b"--x--\r\n", b"junk" * 1000):
        assert upload(bulk, broken or b" ", "multipart/form-data; boundary=x").status_code == 400
    assert upload(bulk, b"--x--", "multipart/form-data").status_code == 400


def test_answer_that_unpacks_to_more_than_its_cap_is_lost() -> None:
    """A provider's or a platform's bomb: two hundred megabytes in two hundred kilobytes."""
    packed = gzip.compress(b"\x00" * 200 * MB)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    with RawServer(answering(head.encode() + packed)) as server:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerLost, match="too long"):
                exchange("GET", server.url, deadline=boot_time() + 20, cap=MB)
            assert tracemalloc.get_traced_memory()[1] < 60 * MB
        finally:
            tracemalloc.stop()
