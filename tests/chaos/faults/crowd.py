"""More of us than planned: two beats, three watchmen, and a worker of the previous release beside the new ones."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.faults.registry import fault
from tests.chaos.rig import Rig
from tests.e2e.stack import ROOT

FAMILY = "crowd"
# The commit that stands for the previous release.
PREVIOUS = (Path(__file__).parent / "previous_release").read_text().strip()


@fault("two beats", FAMILY, hold_s=12.0, brief_s=4.0)
def _beats(rig: Rig, dice: Random) -> Iterator[None]:
    rig.add("beat_2", "beat", BEAT_SCHEDULE=str(rig.folder / "beat_2"))
    yield
    rig.remove("beat_2")


@fault("three watchmen", FAMILY, hold_s=12.0, brief_s=4.0)
def _watchmen(rig: Rig, dice: Random) -> Iterator[None]:
    names = ("watchman_2", "watchman_3")
    for name in names:
        rig.add(name, "watchman")
    yield
    rig.remove(*names)


@fault("workers of the previous release beside the new", FAMILY, hold_s=20.0, brief_s=6.0)
def _previous(rig: Rig, dice: Random) -> Iterator[None]:
    tree = previous_tree(rig.folder)
    if tree is None:
        rig.left_out.add("the previous release: this tree has no history to take it from")
        yield
        return
    names = {f"previous_{line}": line for line in ("worker_intake_1", "worker_dispatch_1", "worker_outgoing")}
    for name, line in names.items():
        rig.add(name, line, PYTHONPATH=str(tree))
    yield
    rig.remove(*names)


def previous_tree(folder: Path) -> Path | None:
    """The previous release, unpacked once; None where this tree has no history (an archive of it, a shallow clone)."""
    tree = folder / "previous"
    if not tree.exists():
        packed = subprocess.run(
            ["git", "-C", str(ROOT), "archive", PREVIOUS, "shared", "workers", "deploy"],
            capture_output=True,
            check=False,
        )
        if packed.returncode != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(tree, filter="data")
    return tree
