"""Puts the door together: its parts, its routes, and what every answer carries."""

from __future__ import annotations

import functools
import json
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, IntegerConverter

from shared import log as logs
from shared import settings as settings_module
from shared.crypto import Box
from shared.doorbell import Bell, Doorbell, Ringer
from shared.settings import Settings
from shared.store.engine import require_durable
from webhooks_app import auth, docs_page, errors, openapi
from webhooks_app.database import Database, DatabaseAway
from webhooks_app.door import Door, door
from webhooks_app.figures import Figures
from webhooks_app.headers import answer_headers, request_id
from webhooks_app.limits import Limits
from webhooks_app.routes import ROUTES, Route, View
from webhooks_app.taking import Taker

log = structlog.get_logger(__name__)

# A start waits no longer for Postgres; a machine that is busy with the same start needs more than a moment.
START_HOLD_S = 2.0


class Plain(BaseConverter):
    """One part of a path that may stand in a query to the database."""

    regex = r"[A-Za-z0-9._-]{1,80}"


class Number(IntegerConverter):
    """A row's number that fits a bigint."""

    regex = r"\d{1,15}"


class Rest(BaseConverter):
    """All that is left of the path, slashes included: the server has decoded it exactly once."""

    regex = r"(?s:.+)"
    part_isolating = False


def make(settings: Settings | None, bell: Bell | None) -> Flask:
    """See `create_app`."""
    settings = settings or settings_module.current()
    logs.configure(settings.log_level)
    document = openapi.build(ROUTES, _version())
    database = Database(
        settings.database_url.get_secret_value(),
        hold_s=settings.hold_without_database_s,
        pool_size=settings.database_pool,
    )
    box = Box(tuple(key.get_secret_value() for key in settings.encryption_keys))
    here = Door(
        settings=settings,
        database=database,
        box=box,
        bell=bell or Ringer(Doorbell(settings.redis_url.get_secret_value())),
        figures=Figures(),
        limits=Limits.of(settings),
        taker=Taker(database, box),
        document=json.dumps(document, ensure_ascii=False).encode(),
        page=docs_page.render(document).encode(),
    )
    _refuse_unsafe(here)
    app = Flask(__name__, static_folder=None)
    app.extensions["tocsin"] = here
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    app.url_map.converters.update({"plain": Plain, "number": Number, "rest": Rest})
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    errors.install(app)
    app.before_request(_begin)
    app.after_request(_finish)
    for route in ROUTES:
        _add(app, route)
    return app


def _add(app: Flask, route: Route) -> None:
    @functools.wraps(route.view)
    def view(**arguments: Any) -> Response:
        if route.scopes:
            auth.require(route.scopes, reads=route.method == "GET")
        elif route.method == "GET" and not route.probe:
            auth.count_open_read()
        return route.view(**arguments)

    typed: View = view
    app.add_url_rule(
        route.path,
        endpoint=f"{route.method} {route.path}",
        view_func=typed,
        methods=[route.method],
        provide_automatic_options=False,
    )


def _refuse_unsafe(here: Door) -> None:
    """Law 1: not against a Postgres that may forget. One that is away is checked by /readyz when it is back."""
    try:
        here.database.run(require_durable, hold_s=START_HOLD_S)
    except DatabaseAway:
        log.warning("door.starts_without_database")


def _begin() -> None:
    g.request_id = request_id(request.headers.get("X-Request-Id"))
    g.started = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(answer: Response) -> Response:
    for name, value in answer_headers(g.request_id):
        answer.headers.setdefault(name, value)
    route = request.url_rule.rule if request.url_rule else "none"
    door().figures.answered(route, answer.status_code, time.monotonic() - g.started)
    return answer


def _version() -> str:
    try:
        return version("tocsin")
    except PackageNotFoundError:
        return "0"
