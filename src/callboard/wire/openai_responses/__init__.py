"""OpenAI's Responses dialect, as a server speaks it.

``request`` decodes what a client sends, ``incoming`` its items into a conversation; ``stream`` encodes a turn
as it happens and ``response`` what it came to; ``schema`` holds the structs.
"""

__all__: list[str] = []
