"""For whom a connection is counted."""

from __future__ import annotations

import pytest

from callboard.serving.http1.addresses import counted_as, networks

TRUSTED = networks(["203.0.113.0/28", "2001:db8:1::7"])


@pytest.mark.parametrize(
    "address, name",
    [
        ("198.51.100.9", "198.51.100.9"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("203.0.113.16", "203.0.113.16"),
        ("2001:db8:1::8", "2001:db8:1::/64"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_64_bits(address: str, name: str) -> None:
    assert counted_as(address, TRUSTED) == name


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "::ffff:127.0.0.1",
        "",
        "203.0.113.15",
        "::ffff:203.0.113.3",
        "2001:db8:1::7",
    ],
)
def test_who_speaks_for_many_is_counted_for_nobody(address: str) -> None:
    assert counted_as(address, TRUSTED) is None
