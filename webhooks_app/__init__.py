"""The door: verify, store, answer, ring. No decision about an alarm is taken here.

Served by Granian through `webhooks_app/gate.py`, which bounds the wait for a body. Behind a proxy that buffers
bodies any WSGI server can serve `webhooks_app:create_app()` as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from shared.doorbell import Bell
    from shared.settings import Settings


def create_app(settings: Settings | None = None, *, bell: Bell | None = None) -> Flask:
    """The WSGI application. Settings come from the environment unless they are given.

    Raises BadSettings, and UnsafeDatabase for a Postgres whose commits are not durable; one that is away is waited for.
    """
    from webhooks_app.application import make  # nothing is loaded or made when this package is imported

    return make(settings, bell)
