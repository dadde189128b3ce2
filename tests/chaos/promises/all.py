"""Every promise of the registry: importing this module fills it."""

from __future__ import annotations

from tests.chaos.promises import alarms, house, telling
from tests.chaos.promises.promise import PROMISES, audit

__all__ = ["PROMISES", "alarms", "audit", "house", "telling"]
