"""Secrets are compared in constant time: every one of them, to the end, whichever of them fits."""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.providers import registry
from shared.providers.base import Account, BadSignature

ROOT = Path(__file__).resolve().parents[2]
SECRET_WORDS = {"secret", "digest", "signature", "fits", "token", "password"}


class Counting(tuple[str, ...]):
    """Secrets that count how many of them were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[str]:
        for item in super().__iter__():
            Counting.looked += 1
            yield item


def headers(provider: str, secret: str, raw: bytes) -> list[tuple[str, str]]:
    """What authenticates a delivery."""
    if provider == "aura":
        return [("Authorization", f"Bearer {secret}")]
    return [("X-Noonlight-Signature", base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode())]


@pytest.mark.parametrize("provider", registry.names())
def test_every_secret_is_compared_whichever_fits(provider: str) -> None:
    """The time of an answer does not say which of several secrets is in use, or that none is."""
    raw, looks = b"{}", set()
    for given in ("first", "second", "third", "none of them"):
        secrets = Counting(("first", "second", "third"))
        account = Account(id="a", provider=provider, webhook_secrets=secrets, base_url="", environment="staging")
        Counting.looked = 0
        with contextlib.suppress(BadSignature):
            registry.get(provider).webhooks.verify(account, headers(provider, given, raw), raw)
        looks.add(Counting.looked)

    assert looks == {3}


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("shared/providers/*/webhook.py"), ROOT / "shared/domain/cancelling.py", ROOT / "webhooks_app/auth.py"],
    ids=lambda path: "/".join(path.parts[-2:]),
)
def test_no_secret_is_compared_by_equality(path: Path) -> None:
    """`==` ends at the first wrong character; `hmac.compare_digest` does not."""
    compared = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare) and not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
    ]
    for node in compared:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        names |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
        words = {word for name in names for word in name.lower().split("_")} | {word.rstrip("s") for word in names}
        assert not words & (SECRET_WORDS | {"pin"}), ast.unparse(node)
