"""HTTP to the outside: the only package that imports an HTTP client or dials an upstream.

:class:`~callboard.transport.general.GeneralClient` is imported from its own module, by those who need it:
its engine takes longer to load than everything here.
"""

from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpClient, HttpRequest, HttpResponse, Limits, Timeouts
from callboard.transport.pooled import PooledClient

__all__ = [
    "ClientStatistics",
    "DialGuard",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "Limits",
    "PooledClient",
    "Timeouts",
]
