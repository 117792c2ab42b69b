"""The time and size limits that the project promises by default: nobody changes one unseen."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import fields

from callboard.config import Config, LimitsConfig, McpServerConfig, OpenAIProvider, ServerConfig
from callboard.config.schema import Timeouts
from callboard.serving.assembly import admission_of, listen_of, sockets_of
from callboard.serving.http1 import ListenLimits
from callboard.serving.socket import SocketLimits
from callboard.transport import http
from callboard.wire import sse
from callboard.wire.json import DEFAULT_LIMITS
from callboard.wire.openai_responses import upstream_stream

KIB, MIB = 1 << 10, 1 << 20


def shared(one: Struct, other: Struct) -> dict[str, tuple[object, object]]:
    """The fields that two values both have."""
    names = {each.name for each in fields(one)} & {each.name for each in fields(other)}
    return {name: (getattr(one, name), getattr(other, name)) for name in names}


def test_a_call_upstream_has_these_limits() -> None:
    limits = OpenAIProvider(name="up").timeouts
    assert (limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s) == (5, 60, 30, 600)
    assert limits.answer_s == 600
    accepted = http.Limits()
    assert (accepted.body_bytes, accepted.ratio) == (32 * MIB, 100)
    assert sse.MAX_EVENT_BYTES == MIB
    # The last event of this dialect holds the whole answer once more.
    assert upstream_stream.MAX_EVENT_BYTES == 8 * MIB


def test_a_client_has_these_limits() -> None:
    limits = listen_of(Config()).limits
    assert (limits.header_s, limits.body_idle_s, limits.keep_alive_s) == (10, 30, 5)
    assert (limits.header_bytes, limits.header_count) == (32 * KIB, 100)
    assert (limits.connections, limits.connections_per_address) == (4096, 1024)
    assert Config().server.max_body_bytes == 8 * MIB
    json = DEFAULT_LIMITS
    assert (json.max_bytes, json.max_depth, json.max_nodes, json.max_digits) == (8 * MIB, 64, 100_000, 1_000)
    assert listen_of(Config()).drain_s == 30


def test_work_and_those_who_wait_for_it_are_bounded() -> None:
    server = ServerConfig()
    assert (server.max_concurrency, server.queue, server.queue_seconds) == (2048, 512, 10)
    limits = LimitsConfig()
    assert (limits.requests_per_minute, limits.tokens_per_minute, limits.parallel) == (6_000, 20_000_000, 256)
    assert limits.wait_seconds == 30
    assert limits.cost_per_day_usd is None


def test_calls_of_servers_wait_for_approval_and_no_server_is_trusted() -> None:
    server = McpServerConfig(name="a", command="x")
    assert (server.approve, server.trusted, server.sampling.enabled) == ("unless_read_only", False, False)


def test_what_the_parts_take_for_granted_is_what_the_configuration_says() -> None:
    """A part that is used without a configuration, in a test or a program, is no laxer than a server."""
    assert all(one == other for one, other in shared(http.Timeouts(), Timeouts()).values())
    assert listen_of(Config()).limits == ListenLimits()
    assert sockets_of(Config()) == SocketLimits()


def test_every_key_reaches_the_part_that_it_is_for() -> None:
    server = ServerConfig(
        header_seconds=1,
        body_idle_seconds=2,
        keep_alive_seconds=3,
        send_idle_seconds=4,
        socket_ping_seconds=5,
        max_connections=6,
        max_connections_per_address=7,
        trusted_proxies=("10.0.0.1",),
        socket_idle_seconds=8,
        socket_lifetime_seconds=9,
        drain_seconds=10,
    )
    config = Config(server=server)
    assert listen_of(config).limits == ListenLimits(
        header_s=1,
        body_idle_s=2,
        keep_alive_s=3,
        send_idle_s=4,
        ping_s=5,
        connections=6,
        connections_per_address=7,
        trusted_proxies=("10.0.0.1",),
    )
    assert sockets_of(config) == SocketLimits(idle_s=8, lifetime_s=9)
    assert listen_of(config).drain_s == 10
    assert admission_of(config).in_work == 0
