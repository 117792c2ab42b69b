"""The HTTP door: an ASGI application, and the server that runs it."""
