"""Becomes a server that ends with its parent: drops root, asks for a signal at the parent's death, execs.

A program of its own and not a `preexec_fn`, which is unsafe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, signal_at_death: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by `command`, run as `uid` and `gid` where this process is root."""
    os.umask(0o077)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid: a change of user clears the wish.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_at_death)
    if os.getppid() != parent:
        sys.exit("the parent was gone before its server began")
    os.execv(command[0], command)  # noqa: S606 (a list of our own; a shell is what we avoid)


if __name__ == "__main__":
    _parent, _signal, _uid, _gid = (int(number) for number in sys.argv[1:5])
    main(_parent, _signal, _uid, _gid, sys.argv[5:])
