"""What a command says when it cannot do what it was asked."""

from __future__ import annotations


class CommandError(Exception):
    """Ends the command with exit code 1; its text is for the person who typed it and holds no secret."""
