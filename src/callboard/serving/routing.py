"""The table of routes: which handler answers a path and a method.

Most paths are looked up as they are. A route whose path has names in braces, such as
``/v1/responses/{response_id}``, takes any one segment in their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from callboard.domain.principal import KeyScope
from callboard.serving.visit import Handler

Methods: TypeAlias = Mapping[str, "Route"]
NO_METHODS: Methods = {}
NO_PARAMETERS: Mapping[str, str] = {}


class Route(Struct, frozen=True, kw_only=True):
    """A place in the application.

    Attributes:
        works: Whether it takes one of the places for work, and is refused while draining.
        scope: What a key must be for to come here; None lets everybody in, with or without one.
    """

    method: str
    path: str
    handle: Handler
    works: bool = False
    scope: KeyScope | None = "client"


class RouteTable:
    """See the module's docstring."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        self._templates: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            if "{" in route.path:
                segments = tuple(route.path.split("/"))
                self._templates.setdefault(segments, {})[route.method] = route
            else:
                self._plain.setdefault(route.path, {})[route.method] = route

    def find(self, path: str) -> tuple[Methods, Mapping[str, str]]:
        """The routes at ``path`` by method, and what stands there for the names of their template."""
        methods = self._plain.get(path)
        if methods is not None:
            return methods, NO_PARAMETERS
        segments = path.split("/")
        for template, routes in self._templates.items():
            parameters = _match(template, segments)
            if parameters is not None:
                return routes, parameters
        return NO_METHODS, NO_PARAMETERS


def _match(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    found: dict[str, str] = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            found[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return found if all(found.values()) else None
