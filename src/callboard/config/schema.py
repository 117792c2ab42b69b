"""The configuration as values: what each section holds, its types, ranges and defaults.

These structs are the schema. `callboard.config.tables` checks a file against their fields, so a key exists
exactly if a field of its name does. Times are in seconds; an absent limit is ``None`` and means unlimited.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from callboard.config.mcp_servers import McpServerConfig
from callboard.domain.model import ModelSpec
from callboard.domain.tool_process import ToolProcess
from callboard.secret import Secret

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Rank: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Unlimited: TypeAlias = Literal["unlimited"]
LogFormat: TypeAlias = Literal["logfmt", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warn", "error"]


class ServerConfig(Struct, frozen=True, kw_only=True):
    """``[server]``: where we listen, and how much we take in at once.

    Attributes:
        port: 0 lets the system choose.
        max_concurrency: Requests being served at the same time, open streams included.
        queue: Requests that may wait for a place, and never more than twice as many as there are places; one
            more is answered 503.
        queue_seconds: How long a request may wait for a place; then it is answered 503.
        drain_seconds: How long open requests may go on after SIGTERM.
        header_seconds: Time for a client to send its request headers.
        body_idle_seconds: The longest pause within a request body.
        keep_alive_seconds: How long an idle connection stays open.
        heartbeat_seconds: Pause of a stream after which a comment line is sent, so that proxies keep it open.
        send_idle_seconds: How long a client may read nothing of what we have for it.
        socket_idle_seconds: How long a WebSocket stays open without a turn and without a message.
        socket_lifetime_seconds: How long it stays open in all; a turn in work comes to its end first.
        socket_ping_seconds: How long its client may be silent before it is pinged, and then before it is
            taken for gone.
        max_connections: Sockets open at the same time.
        max_connections_per_address: The same for one client, which is an IPv4 address or an IPv6 network of
            64 bits. Loopback, where all clients have one address, is bounded by ``max_connections`` only.
        trusted_proxies: Addresses or networks, such as ``10.0.0.0/8``, of proxies in front of us, which speak
            for many clients: bounded like loopback. Nothing that they say of their clients is believed.
        max_rounds: Rounds of our tools in one answer of ``/v1/chat/completions``.
        allowed_hosts: Names accepted in ``Host``, besides the address we listen on and loopback names.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    max_body_bytes: Count = 8 * 1024 * 1024
    max_concurrency: Count = 2048
    queue: Annotated[int, Meta(ge=0)] = 512
    queue_seconds: Seconds = 10.0
    drain_seconds: Annotated[float, Meta(ge=0)] = 30.0
    header_seconds: Seconds = 10.0
    body_idle_seconds: Seconds = 30.0
    keep_alive_seconds: Seconds = 5.0
    heartbeat_seconds: Seconds = 15.0
    send_idle_seconds: Seconds = 60.0
    socket_idle_seconds: Seconds = 900.0
    socket_lifetime_seconds: Seconds = 3600.0
    socket_ping_seconds: Seconds = 20.0
    max_connections: Count = 4096
    max_connections_per_address: Count = 1024
    trusted_proxies: tuple[str, ...] = ()
    max_rounds: Count = 25
    allowed_hosts: tuple[str, ...] = ()


class StoreConfig(Struct, frozen=True, kw_only=True):
    """``[store]``: where responses are kept.

    Attributes:
        url: ``sqlite:///PATH``, from the configuration file's folder or the working directory; four slashes
            begin an absolute path. ``memory:`` forgets everything with the process.
        max_responses: Responses that are kept, those in use longest; 100 in memory, any number on disk,
            unless stated.
        max_age_days: How long a conversation is kept after its last turn.
        max_bytes: Size of everything that is kept.
    """

    url: str = "sqlite:///.callboard/state.db"
    max_responses: Count | None = None
    max_age_days: Count | None = None
    max_bytes: Count | None = None


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """``[limits]``: where limits are counted, and what each client key may use unless it says otherwise.

    Whoever needs no key has these limits too. They are on unless ``"unlimited"`` takes one off; why they are
    what they are is in docs/limits.md.

    Attributes:
        url: ``memory:`` is the only back end of this release.
        requests_per_minute: Calls of models that a key may make; as many may come at once.
        tokens_per_minute: The same for tokens, prompt and answer together.
        cost_per_day_usd: Budget for one UTC day; none unless it is stated.
        parallel: Requests of one key that run at the same time.
        wait_seconds: How long a request may wait for a limit. What is known to take longer is refused at
            once; 0 refuses whatever would have to wait.
    """

    url: str = "memory:"
    requests_per_minute: Count | Unlimited = 6_000
    tokens_per_minute: Count | Unlimited = 20_000_000
    cost_per_day_usd: Decimal | None = None
    parallel: Count | Unlimited = 256
    wait_seconds: Annotated[float, Meta(ge=0)] = 30.0


class LogConfig(Struct, frozen=True, kw_only=True):
    """``[log]``: the form of the log, and where it goes.

    Attributes:
        level: Lines below it are not written; upper case and ``warning`` are understood in the file.
        file: Path of a file that lines are appended to; standard error where None.
        content: Whether prompts, outputs and tool arguments may appear in it.
    """

    format: LogFormat = "logfmt"
    level: LogLevel = "info"
    file: str | None = None
    content: bool = False


class Timeouts(Struct, frozen=True, kw_only=True):
    """``timeouts`` of a provider: how long each part of an upstream call may take, in seconds.

    Attributes:
        first_byte_s: From the request's last byte to the first of an answer that is streamed.
        answer_s: The same, and every later pause too, where the answer is not streamed: most upstreams send
            nothing of such a one before it is whole. For requests of the generic proxy, of which nobody knows
            how they are answered, to the first byte.
        idle_s: The longest pause within a streamed answer.
        total_s: The whole call.
    """

    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 60.0
    answer_s: Seconds = 600.0
    idle_s: Seconds = 30.0
    total_s: Seconds = 600.0


class Provider(Struct, frozen=True, kw_only=True):
    """``[providers.NAME]``: what all kinds share.

    Attributes:
        name: NAME.
        requests_per_minute, tokens_per_minute: What we send to it at most, all keys together.
        any_model: Takes every model name that is configured nowhere; true for one provider at most.
    """

    kind: ClassVar[str]

    name: str
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    any_model: bool = False


class OpenAIProvider(Provider, frozen=True, kw_only=True):
    """``kind = "openai"``: an endpoint that speaks OpenAI's API.

    Attributes:
        api: The dialect we speak to it: ``chat`` for chat completions, ``responses`` for responses. It is not
            guessed: a model that needs the one or the other is given a provider that says so.
        base_url: What paths such as ``/chat/completions`` are appended to; no slash at its end.
        headers: Sent with every request.
        proxy: URL of an HTTP proxy to go through, with user and password if it wants them; none is taken from
            the environment.
        http2: Whether to offer HTTP/2.
        max_connections: Open to it at the same time; further calls wait in line.
        allow_private: Whether its host may resolve to a private address; None allows it where the URL itself
            shows that it is one.
    """

    kind: ClassVar[str] = "openai"

    api: Literal["chat", "responses"] = "chat"
    base_url: str = "https://api.openai.com/v1"
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = {}
    timeouts: Timeouts = Timeouts()
    proxy: Secret | None = None
    http2: bool = False
    max_connections: Count = 1024
    allow_private: bool | None = None


class LocalProvider(Provider, frozen=True, kw_only=True):
    """``kind = "local"``: the model that runs in this process.

    Attributes:
        slots: Generations that run at the same time.
        threads: Processor threads; None chooses by the machine.
        context: Tokens of window for each slot; None takes the model's own.
    """

    kind: ClassVar[str] = "local"

    slots: Count = 4
    threads: Count | None = None
    context: Count | None = None


class ScriptedProvider(Provider, frozen=True, kw_only=True):
    """``kind = "scripted"``: deterministic answers, for tests, demos and benchmarks.

    Attributes:
        script: Handed to the provider as it is, which checks it.
    """

    kind: ClassVar[str] = "scripted"

    script: Mapping[str, object] = {}


ProviderConfig: TypeAlias = OpenAIProvider | LocalProvider | ScriptedProvider


class ModelTable(Struct, frozen=True, kw_only=True):
    """``[models.NAME]`` as it is written; `Config.models` holds what becomes of it.

    Attributes:
        upstream_name: What the provider calls it; NAME where absent.
        input, output, cache_read, cache_write: USD per million tokens, read as exact decimals. Without a
            price of their own, cached tokens cost what other input does.
        audio: Whether it takes sound.
        intelligence, speed, cost: Ranks from 0 to 1 for the choice of a model (docs/models.md), 1 the best;
            so ``cost`` is no price, and 1 is the cheapest.
        fallbacks: Models to try, in order, where this one fails before it answered.
    """

    provider: str
    upstream_name: str | None = None
    context_window: Count | None = None
    max_output_tokens: Count | None = None
    reasoning: bool = False
    tools: bool = True
    images: bool = True
    audio: bool = False
    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    intelligence: Rank | None = None
    speed: Rank | None = None
    cost: Rank | None = None
    fallbacks: tuple[str, ...] = ()


class AssistantConfig(Struct, frozen=True, kw_only=True):
    """``[assistants.NAME]``: a model with instructions and tools.

    Attributes:
        name: NAME.
        model: The first configured model where the file names none; ``auto`` chooses one for each turn.
        tools: Names of the tools it may use; None allows all there are.
        max_rounds: Rounds of our tools in one turn; then the model is asked once more, without tools.
        directives: Whether ``reason:``, ``fast:`` and ``use:`` at the start of a message choose the model.
    """

    name: str
    model: str = ""
    instructions: str | None = None
    tools: tuple[str, ...] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_output_tokens: Count | None = None
    max_rounds: Count = 25
    directives: bool = True


class McpConfig(Struct, frozen=True, kw_only=True):
    """``[mcp]``: servers of tools.

    Attributes:
        tool_refresh_seconds: How often lists of tools are read again; 0 never.
        servers_config_path: An ``mcpServers`` JSON file, from the configuration file's folder or the working
            directory; its servers come after those of ``[mcp.servers]``.
        remote: URLs, or beginnings of them with ``*``, at which clients' requests may name servers; no others
            are dialled (`callboard.config.remote_servers`).
        logins_path: The folder of the files that ``callboard tools login`` writes; by default ``mcp`` beside
            the store's database, or in ``.callboard`` where the store is in memory.
        servers: Those of both that are enabled. In the file they are tables, ``[mcp.servers.NAME]``.
    """

    tool_refresh_seconds: Annotated[float, Meta(ge=0)] = 10.0
    servers_config_path: str | None = None
    remote: tuple[str, ...] = ()
    logins_path: str | None = None
    servers: tuple[McpServerConfig, ...] = ()


class ProxyConfig(Struct, frozen=True, kw_only=True):
    """``[proxy]``: passing on what no route of ours answers. Off unless it is enabled.

    A request that one entry of ``allow`` lets through goes to a provider as it came: method, query, body and
    the header fields that mean anything there; its ``Authorization``, ``x-api-key`` and cookies stay behind,
    and the provider's own key is put in. Everything else is answered 404, as if there were no proxy.

    Attributes:
        upstream: Name of the provider (``[providers.NAME]`` of ``kind = "openai"``) that requests go to, by
            its ``base_url``, key, headers, proxy and timeouts. ``/v1`` of ours is its ``base_url``.
        allow: ``"METHOD /path"`` each. The path is meant exactly as it is; ``*`` as its last segment stands
            for any further ones, at least one. ``GET`` allows ``HEAD`` too. Routes of ours stay ours.
    """

    enabled: bool = False
    upstream: str | None = None
    allow: tuple[str, ...] = ()


class Config(Struct, frozen=True, kw_only=True):
    """Everything the operator decided, read once at start.

    Attributes:
        path: The file it was read from; None for a mapping or the built-in defaults.
        workers: How many processes each have their part of every limit (`callboard.config.division`).
        notices: Lines for the operator: accepted, and without effect in this release.
    """

    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    providers: tuple[ProviderConfig, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    assistants: tuple[AssistantConfig, ...] = ()
    tools: tuple[ToolProcess, ...] = ()
    mcp: McpConfig = McpConfig()
    proxy: ProxyConfig = ProxyConfig()
    path: Path | None = None
    workers: int = 1
    notices: tuple[str, ...] = ()

    @property
    def default_provider(self) -> str | None:
        """Name of the provider that takes every model name configured nowhere; None where there is none."""
        return next((provider.name for provider in self.providers if provider.any_model), None)
