"""Measurements of this system, each beside what it is measured against, in one run."""

from __future__ import annotations
