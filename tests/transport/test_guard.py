"""DialGuard: which addresses may be dialled, and that names are judged by all their addresses."""

import pytest

from callboard.errors import UpstreamUnreachable
from callboard.transport.guard import DialGuard, may_dial

pytestmark = pytest.mark.anyio

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::", "2002:a00:1::",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3",
    "224.0.0.1", "224.0.1.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "fe80::1", "fe80::1%eth0", "fd00::1%1", "fec0::1", "ff02::1", "fd00:ec2::254",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:0.0.0.0", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "2002:a9fe:a9fe::", "2001:0:a9fe:a9fe::", "::169.254.169.254", "::127.0.0.1", "4000::1", "2001:db8::1",
    "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    assert may_dial(address, private=False)
    assert may_dial(address, private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_open_only_where_the_operator_named_the_host(address: str) -> None:
    assert not may_dial(address, private=False)
    assert may_dial(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_local_links_metadata_multicast_and_nonsense_are_closed_always(address: str) -> None:
    assert not may_dial(address, private=False)
    assert not may_dial(address, private=True)


class Names:
    """A resolver with fixed answers that counts its questions."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[tuple[str, int]] = []
        self._addresses = addresses

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        return self._addresses


async def test_a_name_is_resolved_once_and_its_addresses_are_returned_in_order() -> None:
    names = Names("1.1.1.1", "2606:4700::1111")
    assert await DialGuard(resolve=names).addresses("api.test", 443) == ("1.1.1.1", "2606:4700::1111")
    assert names.asked == [("api.test", 443)]


@pytest.mark.parametrize("found", [("1.1.1.1", "10.0.0.1"), ("169.254.169.254",), ("::1", "1.1.1.1"), ()])
async def test_one_forbidden_address_condemns_the_name(found: tuple[str, ...]) -> None:
    with pytest.raises(UpstreamUnreachable):
        await DialGuard(resolve=Names(*found)).addresses("api.test", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254"])
async def test_an_address_in_place_of_a_name_is_judged_without_resolving(host: str) -> None:
    names = Names("1.1.1.1")
    with pytest.raises(UpstreamUnreachable):
        await DialGuard(resolve=names).addresses(host, 80)
    assert names.asked == []


@pytest.mark.parametrize(
    "allowed, host, port, opened",
    [
        ("vllm.test", "vllm.test", 8000, True),
        ("VLLM.test:8000", "vllm.test", 8000, True),
        ("vllm.test:8000", "vllm.test", 8001, False),
        ("vllm.test", "other.test", 8000, False),
        ("vllm.test", "evil-vllm.test", 8000, False),
        ("[::1]:8000", "::1", 8000, True),
        ("::1", "::1", 8000, True),
        ("[::1]:8000", "::1", 80, False),
    ],
)
async def test_a_private_host_is_open_by_its_exact_name_and_port(
    allowed: str, host: str, port: int, opened: bool
) -> None:
    guard = DialGuard(frozenset({allowed}), resolve=Names("10.0.0.1"))
    if opened:
        assert await guard.addresses(host, port)
    else:
        with pytest.raises(UpstreamUnreachable):
            await guard.addresses(host, port)


async def test_a_named_host_still_may_not_lead_to_the_metadata_service() -> None:
    guard = DialGuard(frozenset({"vllm.test"}), resolve=Names("169.254.169.254"))
    with pytest.raises(UpstreamUnreachable):
        await guard.addresses("vllm.test", 80)


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        raise OSError(host)

    with pytest.raises(UpstreamUnreachable) as caught:
        await DialGuard(resolve=resolve).addresses("nowhere.test", 80)
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_host_may_be_added_without_losing_the_others() -> None:
    guard = DialGuard(frozenset({"a.test"}), resolve=Names("10.0.0.1")).also_allowing("b.test", 3128)
    assert await guard.addresses("a.test", 80)
    assert await guard.addresses("b.test", 3128)
    with pytest.raises(UpstreamUnreachable):
        await guard.addresses("b.test", 80)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1"])
async def test_other_spellings_of_loopback_are_found_out_by_the_systems_resolver(host: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await DialGuard().addresses(host, 80)
