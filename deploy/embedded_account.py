"""Under which account an embedded server runs, and whether that account can reach a folder.

Postgres refuses to run as root, so root hands its server to `nobody`; everybody else runs it as themselves.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user and its group, by number."""

    uid: int
    gid: int

    def owns(self, path: Path) -> bool:
        """Say whether `path` is a real folder of this account (a link is not)."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.uid

    def reaches(self, path: Path) -> bool:
        """Say whether this account may pass through every folder down to `path`, itself included."""
        if self == own_account():
            return True
        resolved = path.resolve()
        return all(self._passes(folder) for folder in (resolved, *resolved.parents))

    def _passes(self, folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def own_account() -> Account:
    """Return the account of this process."""
    return Account(os.geteuid(), os.getegid())


def unprivileged_account() -> Account:
    """Return the account of this process, or `nobody` where this process is root."""
    if os.geteuid() != 0:
        return own_account()
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def make_private(folder: Path, owner: Account) -> None:
    """Make `folder` where it is missing, and close it to everybody but `owner` (mode 0700)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(folder, owner.uid, owner.gid)
    folder.chmod(0o700)
