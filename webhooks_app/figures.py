"""What the door counts, and the gauges that a scrape fills in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Figures:
    """The figures of one application, in a registry of its own."""

    def __init__(self) -> None:
        """Declare every figure; names are a contract with dashboards."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tocsin_door_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tocsin_door_seconds", "Time to answer.", ["route"], registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
        )  # fmt: skip
        self.alarms = Counter(
            "tocsin_door_alarms", "Alarms taken: new, same, fold, successor.", ["repeat"], registry=self.registry
        )
        self._deliveries = Counter(
            "tocsin_door_webhook_events", "Provider events taken.", ["provider"], registry=self.registry
        )
        self.refused_hooks = Counter(
            "tocsin_door_webhooks_refused", "Deliveries refused.", ["provider", "status"], registry=self.registry
        )
        self.limited = Counter(
            "tocsin_door_limited", "Requests refused for their number, by what was too many.", ["what"],
            registry=self.registry,
        )  # fmt: skip
        # By route and status: finding the right one costs more than counting.
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._gauges: dict[str, Gauge] = {
            "database_up": self._gauge("tocsin_database_up", "1 while Postgres answers."),
            "oldest_unserved_s": self._gauge(
                "tocsin_oldest_unserved_alarm_seconds", "Age of the oldest alarm without an accepted leg; 0: none."
            ),
            "inbox_pending": self._gauge("tocsin_inbox_pending", "Rows of the inbox that wait."),
            "set_aside": self._gauge("tocsin_set_aside", "Rows of the inbox that could not be worked or matched."),
            "dead": self._gauge("tocsin_outbox_dead", "Rows of the outbox that were given up."),
            "notices": self._gauge("tocsin_open_notices", "Notices that nobody acknowledged."),
            "watchman_acted": self._gauge("tocsin_watchman_acted", "Rows that the watchman worked itself."),
            "polled_steps": self._gauge("tocsin_steps_found_by_poll", "Steps that polling found and no webhook told."),
        }
        self._due = Gauge("tocsin_due", "Outgoing rows that are due, by lane.", ["lane"], registry=self.registry)
        self._heartbeats = Gauge(
            "tocsin_heartbeat_age_seconds", "Age of each sign of life.", ["process"], registry=self.registry
        )

        self._failed_probes = Gauge(
            "tocsin_account_failed_probes", "Probes failed in a row.", ["account"], registry=self.registry
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request by the rule of its route."""
        counted = self._counted.get((route, status))
        if counted is None:
            counted = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._counted[route, status] = counted
        requests, durations = counted
        requests.inc()
        durations.observe(seconds)

    def delivered(self, provider: str, events: int) -> None:
        """Count the events of a delivery that was taken."""
        self._deliveries.labels(provider).inc(events)

    def show(self, read: Mapping[str, Any]) -> None:
        """Take over what the database said."""
        for name, gauge in self._gauges.items():
            if name in read:
                gauge.set(float(read[name]))
        for lane, rows in read.get("due", {}).items():
            self._due.labels(lane).set(rows)
        for process, age in read.get("heartbeats", {}).items():
            self._heartbeats.labels(process).set(age)
        for account, failures in read.get("failed_probes", {}).items():
            self._failed_probes.labels(account).set(failures)
