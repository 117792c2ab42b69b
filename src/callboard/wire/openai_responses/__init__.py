"""OpenAI's Responses dialect, from both sides.

As a server: ``request`` decodes what a client sends, ``incoming`` its items into a conversation; ``stream``
encodes a turn as it happens and ``response`` what it came to; ``schema`` holds the structs.

As a client: ``upstream_request`` encodes what is asked, ``outgoing`` its conversation into items;
``upstream_stream`` decodes the answer, streamed or not, part by part (``upstream_parts``), and
``upstream_response`` what the Response object says beside its output; ``upstream_schema`` holds the structs.
"""

__all__: list[str] = []
