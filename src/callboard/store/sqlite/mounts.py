"""Which file system a path is on. On one that is shared over a network, locks and shared memory do not hold.

Source: proc_pid_mountinfo(5); SQLite, "Write-Ahead Logging", section 1: "WAL does not work over a network
filesystem".
"""

from __future__ import annotations

from pathlib import Path

from callboard.errors import ConfigurationError

MOUNTS = Path("/proc/self/mountinfo")
NETWORKED = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that the absolute ``path`` is on; "" if ``mounts`` does not tell.

    Args:
        path: Without symbolic links; need not exist.
        mounts: As `MOUNTS` has it; where several are mounted at one place, the last counts.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        point = Path(place.split(" ")[4].encode().decode("unicode_escape"))  # a space is written \040
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), source.partition(" ")[0]
    return kind


def refuse_networked(path: Path, mounts: str) -> None:
    """Keep no store on a file system that would spoil it.

    Raises:
        ConfigurationError: It is such a one.
    """
    kind = file_system_of(path, mounts)
    if kind in NETWORKED:
        raise ConfigurationError(
            f"{path} is on a network file system ({kind}): keep the store on a local disk."
        )


def mounts() -> str:
    """What is mounted now; "" where the system does not say."""
    return MOUNTS.read_text("utf-8") if MOUNTS.exists() else ""
