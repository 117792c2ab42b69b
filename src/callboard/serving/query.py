"""What stands behind the question mark of a request, as routes ask for it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from callboard.errors import InvalidRequest
from callboard.serving.exchange import Exchange
from callboard.store.records import Order

MOST_ON_A_PAGE = 100


class Query:
    """The fields of a query."""

    def __init__(self, exchange: Exchange) -> None:
        self._fields = dict(parse_qsl(exchange.query.decode("latin-1")))

    def text(self, name: str) -> str | None:
        """A field as it is."""
        return self._fields.get(name)

    def flag(self, name: str) -> bool:
        """Whether a field says yes."""
        return self._fields.get(name, "").lower() in ("true", "1")

    def number(self, name: str, default: int) -> int:
        """A field that is a number.

        Raises:
            InvalidRequest: It is none.
        """
        given = self._fields.get(name)
        if given is None:
            return default
        if not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise InvalidRequest(f"Invalid value for {name!r}: a number", param=name, code="invalid_value")
        return int(given)

    def order(self) -> Order:
        """How a list is to be ordered; the newest first unless told otherwise.

        Raises:
            InvalidRequest: There is no such order.
        """
        match self._fields.get("order", "desc"):
            case "asc" | "desc" as order:
                return order
            case _:
                raise InvalidRequest(
                    "Invalid value for 'order': asc or desc", param="order", code="invalid_value"
                )

    def limit(self, default: int) -> int:
        """How many entries a page of a list is to have.

        Raises:
            InvalidRequest: Too few, or too many.
        """
        limit = self.number("limit", default)
        if not 1 <= limit <= MOST_ON_A_PAGE:
            raise InvalidRequest("Invalid value for 'limit': 1 to 100", param="limit", code="invalid_value")
        return limit
