"""Other servers carry the application, over ASGI."""

from callboard.serving.asgi.exchange import Receive, Scope, Send

__all__ = ["Receive", "Scope", "Send"]
