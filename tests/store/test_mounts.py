"""A store is not kept on a network file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.errors import ConfigurationError
from callboard.store.sqlite.mounts import file_system_of, mounts, refuse_networked

TABLE = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:40 / /srv rw,relatime - nfs4 server:/srv rw,vers=4.2
31 30 8:2 / /srv/local\040disk rw - xfs /dev/sdb rw
32 21 0:41 / /over rw - cifs //server/share rw
33 21 8:3 / /over rw - ext4 /dev/sdc rw
""".strip()


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/var/lib/store.db", "ext4"),
        ("/srv/store.db", "nfs4"),
        ("/srv/local disk/store.db", "xfs"),
        ("/srvlocal/store.db", "ext4"),
        ("/over/store.db", "ext4"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    assert file_system_of(Path(path), TABLE) == kind


def test_a_network_file_system_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"/srv/store\.db is on a network file system \(nfs4\)"):
        refuse_networked(Path("/srv/store.db"), TABLE)
    refuse_networked(Path("/var/store.db"), TABLE)
    refuse_networked(Path("/srv/store.db"), "")


def test_this_systems_own_table_can_be_read(tmp_path: Path) -> None:
    refuse_networked(tmp_path / "store.db", mounts())
