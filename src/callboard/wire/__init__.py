"""The wire dialects: bytes to domain values and back, from both sides of the network.

We are server and client of the same dialects, so each is written once, in both directions, and without I/O:
no await, no clock, no logging, no randomness. Ids, times and bytes are arguments; events and values come
back.
"""

__all__: list[str] = []
