"""One target under Atheris; its other arguments are libFuzzer's."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["shared", "webhooks_app", "ijson", "standardwebhooks", "csv", "email"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the time is over."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
