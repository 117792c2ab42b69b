"""Providers: the handlers that speak to models, and the pure decisions of which is asked, when and how often.

Import from the modules themselves: most of them need neither a network nor a dialect, and
`callboard.providers.registry` needs both.
"""

__all__: list[str] = []
