"""What no single key can tell: whether the parts of a configuration fit together, and exist by now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from callboard.config.allow_list import parse_allowed
from callboard.config.problems import KeyPath, Problem, Source, suggestion
from callboard.config.schema import (
    AssistantConfig,
    LimitsConfig,
    OpenAIProvider,
    ProviderConfig,
    ProxyConfig,
    ServerConfig,
    StoreConfig,
)
from callboard.domain.model import ModelSpec
from callboard.domain.preferences import AUTO
from callboard.secret import Secret

LATER_SCHEMES = {"store": ("postgresql",), "limits": ("redis",)}

_SQLITE = re.compile(r"sqlite:///[^?#\x00-\x1f]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2: token
# RFC 3986, section 3.2.1; RFC 7617, section 2: no colon in a user's name, no control characters anywhere.
_USERINFO = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|(?!%3[Aa])%(?:[2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]))*"
    r"(?::(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%(?:[2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]))*)?"
)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")  # section 5.5, without obs-text


def check_server(server: ServerConfig, source: Source) -> Iterator[Problem]:
    """An address we cannot listen on, and proxies that are no addresses."""
    if not server.host or not server.host.isprintable() or " " in server.host:
        yield source.problem(("server", "host"), "expected an address or a host name")
    for each in server.trusted_proxies:
        try:
            ip_network(each)
        except ValueError:
            yield source.problem(("server", "trusted_proxies"), f'"{each}": expected an address or a network')


def check_backend(section: StoreConfig | LimitsConfig, name: str, source: Source) -> Iterator[Problem]:
    """A URL whose back end does not exist, or not yet."""
    if section.url == "memory:" or (name == "store" and _SQLITE.fullmatch(section.url)):
        return
    scheme = section.url.partition(":")[0]
    later = scheme in LATER_SCHEMES[name]
    state = "comes in a later release" if later else "is no back end we know"
    known = scheme if scheme.isidentifier() else "this"
    use = '"sqlite:///PATH" or "memory:"' if name == "store" else '"memory:"'
    yield source.problem((name, "url"), f"{known}: {state}; use {use}")


def check_limits(limits: LimitsConfig, source: Source) -> Iterator[Problem]:
    """A budget below nothing."""
    if limits.cost_per_day_usd is not None and limits.cost_per_day_usd < 0:
        yield source.problem(("limits", "cost_per_day_usd"), "expected an amount of at least 0")


def check_providers(providers: Mapping[str, ProviderConfig], source: Source) -> Iterator[Problem]:
    """URLs and headers that could not be sent, and two providers that both take every model."""
    catch_all: str | None = None
    for name, provider in providers.items():
        path = ("providers", name)
        if provider.any_model and catch_all is not None:
            yield source.problem((*path, "any_model"), f'the provider "{catch_all}" has it already')
        catch_all = name if provider.any_model and catch_all is None else catch_all
        if isinstance(provider, OpenAIProvider):
            yield from _check_upstream(provider, source, path)


def _check_upstream(provider: OpenAIProvider, source: Source, path: KeyPath) -> Iterator[Problem]:
    proxy = None if provider.proxy is None else provider.proxy.reveal()
    for key, url in (("base_url", provider.base_url), ("proxy", proxy)):
        fault = None if url is None else _url_fault(url, userinfo=key == "proxy")
        if fault:
            yield source.problem((*path, key), fault)
    for name, value in provider.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield source.problem((*path, "headers", name), "not the name of an HTTP header")
        elif not _sendable(value):
            yield source.problem((*path, "headers", name), "empty, or with a character no header may have")
    if provider.api_key is not None and not _sendable(provider.api_key):
        yield source.problem((*path, "api_key"), "empty, or with a character no header may have")


def _sendable(value: Secret) -> bool:
    return _HEADER_VALUE.fullmatch(value.reveal()) is not None


def _url_fault(url: str, *, userinfo: bool) -> str | None:
    """What is wrong with the URL of a server, never repeating it: it may hold a password."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return "not a URL"
    if not url.isprintable() or " " in url or not parts.hostname or not port_fits:
        return "not a URL"
    if parts.scheme not in {"http", "https"}:
        return "expected a URL that begins with http:// or https://"
    if parts.query or parts.fragment:
        return "expected a URL without a query or a fragment"
    user, at, _ = parts.netloc.rpartition("@")
    if at and not userinfo:
        return "a user name or password does not belong into the URL; use api_key or headers"
    return (
        None if _USERINFO.fullmatch(user) else "special characters in a password have to be percent-encoded"
    )


def check_proxy(
    proxy: ProxyConfig, providers: Mapping[str, ProviderConfig], known: frozenset[str], source: Source
) -> Iterator[Problem]:
    """Entries that cannot be read, and an upstream that does not exist or has no URL.

    ``known`` has the names of all providers, those with a broken table included: one mistake is told once.
    """
    for entry in proxy.allow:
        try:
            parse_allowed(entry)
        except ValueError as fault:
            yield source.problem(("proxy", "allow"), f'"{entry}": {fault}')
    path = ("proxy", "upstream")
    name = proxy.upstream
    if name is None:
        if proxy.enabled:
            yield source.problem(path, "missing; name the provider that requests go to")
    elif name not in known:
        yield source.problem(path, f'no provider "{name}"{suggestion(name, known)}')
    elif name in providers and not isinstance(providers[name], OpenAIProvider):
        yield source.problem(path, f'the provider "{name}" has no URL that requests could go to')


def check_models(
    models: Mapping[str, ModelSpec], known: Mapping[str, frozenset[str]], source: Source
) -> Iterator[Problem]:
    """Models whose provider or fallbacks do not exist, and fallbacks that lead in a circle.

    ``known`` has the names in each section, those with a broken table included: one mistake is told once.
    """
    for name, model in models.items():
        path = ("models", name)
        if model.provider not in known["providers"]:
            hint = suggestion(model.provider, known["providers"])
            yield source.problem((*path, "provider"), f'no provider "{model.provider}"{hint}')
        for fallback in model.fallbacks:
            if fallback not in known["models"]:
                hint = suggestion(fallback, known["models"])
                yield source.problem((*path, "fallbacks"), f'no model "{fallback}"{hint}')
        circle = _circle(models, name)
        if circle and name == next(each for each in models if each in circle):
            yield source.problem((*path, "fallbacks"), f"leads in a circle: {' -> '.join(circle)}")


def _circle(models: Mapping[str, ModelSpec], start: str) -> tuple[str, ...]:
    """The way along fallbacks from ``start`` back to it; empty where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] in seen or way[-1] not in models:
            continue
        seen.add(way[-1])
        for fallback in models[way[-1]].fallbacks:
            if fallback == start:
                return (*way, start)
            ways.append((*way, fallback))
    return ()


def check_assistants(
    assistants: Mapping[str, AssistantConfig],
    known: Mapping[str, frozenset[str]],
    source: Source,
    *,
    any_model: bool,
) -> Iterator[Problem]:
    """Assistants whose model leads nowhere, unless there is a provider that takes ``any_model``."""
    for name, assistant in assistants.items():
        if assistant.model in known["models"] or (assistant.model and any_model):
            continue
        if assistant.model == AUTO and known["models"]:
            continue
        path = ("assistants", name, "model")
        if not assistant.model:
            yield source.problem(path, "missing, and no model is configured")
        else:
            hint = suggestion(assistant.model, known["models"])
            yield source.problem(path, f'no model "{assistant.model}"{hint}')
