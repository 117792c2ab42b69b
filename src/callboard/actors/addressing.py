"""To which model a turn goes, where its order leaves that to us or a user says so at the start of it.

Or to none: a user may run a tool himself.

It is decided before anything else is done, so what is stored of the turn names the model that was chosen, and
holds what was said to it and not the directive. Whoever continues the turn, or follows it, sees no directive.
"""

from __future__ import annotations

from msgspec.structs import replace

from callboard.actors.order import AssistantSpec, TurnOrder
from callboard.domain.arguments import tool_use
from callboard.domain.directives import directed
from callboard.domain.preferences import AUTO
from callboard.providers.routing import RouteTable


def addressed(order: TurnOrder, spec: AssistantSpec, routes: RouteTable) -> TurnOrder:
    """``order`` with its model's name, and without a directive; most orders are given back as they are.

    Raises:
        UnknownModel: There is no model to choose.
        InvalidRequest: The request's preferences cannot be read.
    """
    if spec.directives:
        order = _directed(order, routes)
    request = order.request
    if order.direct is not None:
        return order
    if (request.model or spec.model) != AUTO:
        return order
    chosen = routes.addressed(replace(request, model=AUTO), order.principal, order.preferences)
    return replace(order, request=chosen)


def _directed(order: TurnOrder, routes: RouteTable) -> TurnOrder:
    found = directed(order.request.messages)
    if found is None:
        return order
    directive, messages = found
    if directive.call is not None:
        call_id = f"call_{order.response_id.removeprefix('resp_')}"
        return replace(order, direct=tool_use(call_id, directive.call.name, directive.call.arguments))
    request = replace(order.request, messages=messages)
    model = directive.model
    if model is None:
        model = routes.chosen(request, order.principal, directive.preferences)
    items = directed(order.items)
    return replace(
        order,
        request=replace(request, model=model or request.model),
        items=order.items if items is None else items[1],
    )
