"""OpenAI's chat completions dialect, from both sides.

``request``, ``response``, ``stream`` and ``error`` each decode what the other side sends and encode what we
send; ``schema`` holds the structs, ``incoming`` and ``outgoing`` convert messages, ``relay`` passes bytes on
unread.
"""

__all__: list[str] = []
