"""Tasks of the lane `periodic`."""

from __future__ import annotations

from shared.domain.lanes import Lane
from workers.app import app
from workers.engine import beat
from workers.process import engine, parts
from workers.services import jobs


@app.task(name="periodic.drain")
def drain() -> None:
    """Run the duties that are due."""
    engine(Lane.PERIODIC).answer_bell()


@app.task(name="periodic.tick")
def tick() -> None:
    """What beat sends: proof that beat, broker and this lane are alive; then the duties that are due."""
    with parts().sessions.begin() as session:
        beat(session, "beat")
    engine(Lane.PERIODIC).answer_bell()


@app.task(name="accounts.probe")
def probe_accounts() -> None:
    """See that each account has its row of probes."""
    jobs.work_due(parts(), only="accounts.probe")


@app.task(name="location.poll")
def poll_locations() -> None:
    """See which moving alarms are to be asked for."""
    jobs.work_due(parts(), only="location.poll")


@app.task(name="sites.reconcile")
def reconcile_sites() -> None:
    """Ask for the comparisons of sites that are due; they run in a thread of their own."""
    jobs.work_due(parts(), only="sites.reconcile")


@app.task(name="status.poll")
def poll_statuses() -> None:
    """See which open alarms are to be asked for."""
    jobs.work_due(parts(), only="status.poll")


@app.task(name="webhooks.check")
def check_webhooks() -> None:
    """See that what the providers have registered is still ours."""
    jobs.work_due(parts(), only="webhooks.check")
