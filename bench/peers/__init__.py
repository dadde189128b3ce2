"""The same work on other tools, each as a good engineer would write it in a day."""

from __future__ import annotations
