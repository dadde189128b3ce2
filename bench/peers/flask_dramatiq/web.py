"""The hook: verify, store, commit, then a message for each new event."""

from __future__ import annotations

from flask import Flask, Response, request

from bench.peers import records
from bench.peers.flask_dramatiq.tasks import apply_event

app = Flask(__name__)


@app.post("/webhooks")
def receive() -> Response:
    """Take one delivery; a repeated one gets the same answer."""
    raw = request.get_data()
    if not records.is_authentic(raw, request.headers.get("X-Noonlight-Signature", "")):
        return Response(status=401)
    with records.sessions().begin() as session:
        stored = [records.store(session, event) for event in request.get_json()]
    for row_id in stored:
        if row_id is not None:
            apply_event.send(row_id)
    return Response(status=204)
