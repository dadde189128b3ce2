"""What the processes at a desk find: ports, secrets, a migrated database, a platform with its accounts, and a key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, update
from sqlalchemy.orm import Session

from deploy.cli.ports import free_port
from deploy.cli.private_files import read_private, write_private
from deploy.embedded import Urls
from deploy.sandbox import rehearsal_stage as stage
from shared.accounts import DEFAULT_PLATFORM, ensure_defaults
from shared.crypto import Box, new_encryption_key
from shared.settings import Settings
from shared.store import migrate
from shared.store.keys import SCOPES, create_key
from shared.store.models import ApiKey, Platform

KEY_NAME = "tocsin up"


@dataclass(frozen=True)
class Desk:
    """`described` is what `run.json` says; `own` is the environment that single processes have beyond that of all."""

    described: dict[str, Any] = field(repr=False)
    own: dict[str, dict[str, str]] = field(repr=False)

    @property
    def addresses(self) -> dict[str, str]:
        """What answers when its process works."""
        found = {"web": f"{self.described['web']}/healthz", "flower": f"{self.described['flower']['url']}/healthcheck"}
        sandbox = self.described["sandbox"]
        return found | {f"sandbox {name}": f"{part['url']}/healthz" for name, part in sandbox.items()}


def prepare(data_dir: Path, urls: Urls, engine: Engine) -> Desk:
    """Choose ports and secrets (those of the last start, where they are free), migrate, and make the rows."""
    own = _own_choices(data_dir / "desk.json")
    web = _local(own["web_port"])
    sandbox_file = data_dir / stage.FILE
    sandbox = stage.configuration(read_private(sandbox_file), web, free_port)
    write_private(sandbox_file, sandbox)
    told = stage.settings(sandbox) | {
        "database_url": urls.database_url,
        "redis_url": urls.redis_url,
        "encryption_keys": own["encryption_keys"],
        "public_url": web,
    }
    migrate.upgrade(urls.database_url)
    flower = {"url": _local(own["flower_port"]), "user": "ops", "password": own["flower_password"]}
    described = {
        "web": web,
        "docs": f"{web}/docs",
        "api_key": _make_rows(engine, Settings(**told), *stage.writeback(sandbox)),
        "flower": flower,
        "sandbox": stage.described(sandbox),
        "database_url": urls.database_url,
        "redis_url": urls.redis_url,
        "data_dir": str(data_dir),
        "logs": str(data_dir / "logs"),
        "environment": {f"TOCSIN_{name.upper()}": stage.as_text(value) for name, value in told.items()},
    }
    return Desk(
        described,
        {
            "web": {"HOST": "127.0.0.1", "PORT": str(own["web_port"])},
            "beat": {"BEAT_SCHEDULE": str(data_dir / "beat")},
            "flower": {
                "PORT": str(own["flower_port"]),
                "FLOWER_BASIC_AUTH": f"{flower['user']}:{flower['password']}",
                "FLOWER_COOKIE_SECRET": own["flower_cookie_secret"],
            },
        },
    )


def _own_choices(file: Path) -> dict[str, Any]:
    """Ports and secrets that stay from start to start."""
    fresh = {
        "encryption_keys": new_encryption_key(),
        "flower_password": secrets.token_urlsafe(18),
        "flower_cookie_secret": secrets.token_urlsafe(48),
    }
    known = fresh | read_private(file)
    for name in ("web_port", "flower_port"):
        known[name] = free_port(known.get(name))
    write_private(file, known)
    return known


def _make_rows(engine: Engine, settings: Settings, writeback_url: str, writeback_secret: str) -> str:
    """The default platform with its write-back, the accounts, and a new key in place of the last start's."""
    box = Box(tuple(key.get_secret_value() for key in settings.encryption_keys))
    with Session(engine) as session, session.begin():
        ensure_defaults(session, settings.default_accounts(), box)
        session.execute(
            update(Platform)
            .where(Platform.id == DEFAULT_PLATFORM)
            .values(writeback_url=writeback_url, writeback_secret=box.seal(writeback_secret))
        )
        session.execute(
            update(ApiKey)
            .where(ApiKey.platform_id == DEFAULT_PLATFORM, ApiKey.name == KEY_NAME, ApiKey.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
        scopes = [scope for scope in SCOPES if scope != "panel"]
        return create_key(session, DEFAULT_PLATFORM, KEY_NAME, scopes)[1]


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"
