"""Our own HTTP/1.1 server: an asyncio protocol over llhttp, with limits for slow and hostile clients.

The application it serves is the one that ASGI servers can mount; what this adds is its price, a tenth of a
general server's, and what no ASGI server tells an application: that the client left, at once and for nothing.
"""

from callboard.serving.http1.connection import Connection
from callboard.serving.http1.limits import ListenLimits
from callboard.serving.http1.listener import Listener

__all__ = ["Connection", "ListenLimits", "Listener"]
