"""Every fault of the registry: importing this module fills it."""

from __future__ import annotations

from tests.chaos.faults import broker, clocks, crowd, database, hooks, platform, processes, providers, rows
from tests.chaos.faults.registry import FAULTS

__all__ = ["FAULTS", "broker", "clocks", "crowd", "database", "hooks", "platform", "processes", "providers", "rows"]
