"""The hook: verify, store the event and defer its job, commit both."""

from __future__ import annotations

from flask import Flask, Response, request
from procrastinate import SyncPsycopgConnector

from bench.peers import records
from bench.peers.flask_procrastinate import tasks

app = Flask(__name__)
# The synchronous side of the same tasks; jobs go through the session's connection, so its own pool stays small.
deferring = tasks.app.with_connector(
    SyncPsycopgConnector(conninfo=tasks.URL.replace("+psycopg", ""), min_size=1, max_size=1)
)
deferring.open()


@app.post("/webhooks")
def receive() -> Response:
    """Take one delivery; a repeated one gets the same answer."""
    raw = request.get_data()
    if not records.is_authentic(raw, request.headers.get("X-Noonlight-Signature", "")):
        return Response(status=401)
    with records.sessions().begin() as session:
        connection = session.connection().connection.driver_connection
        for event in request.get_json():
            row_id = records.store(session, event)
            if row_id is not None:
                deferring.configure_task("apply_event", connection=connection).defer(row_id=row_id)
    return Response(status=204)
