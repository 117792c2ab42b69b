"""What goes into a mailbox: frozen values, branded with the actor that understands them.

::

    class Acquire(Request["RateLimiter", Permit], frozen=True, kw_only=True):
        key: str

The first parameter is the receiving actor's class and the second the type of the answer, so that ``await
limiter.ask(Acquire(key="k"))`` is a ``Permit`` to the type checker, and a request sent to the wrong actor
an error. Both are only names: nothing is looked up at run time. msgspec passes ``frozen`` on to a subclass
but not ``kw_only``; state both.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

A = TypeVar("A")
R = TypeVar("R")
E = TypeVar("E")


class Notice(Struct, Generic[A], frozen=True, kw_only=True):
    """Told to an actor ``A``; nothing comes back."""


class Request(Struct, Generic[A, R], frozen=True, kw_only=True):
    """Asked of an actor ``A``, which answers exactly once with an ``R`` or an error."""


class StreamRequest(Struct, Generic[A, E], frozen=True, kw_only=True):
    """Asked of an actor ``A``, which answers with any number of ``E``, then with the end or an error."""
