"""Rate limits, budgets and the ledger: what may be sent upstream, and what it came to."""

from callboard.limits.ledger import Attempt, Basis, Books, Heading, Ledger, LedgerLine, Outcome, Totals
from callboard.limits.limits import Admitted, Ask, Decision, Limits, LimitSpec, Queued, Refused, Scope
from callboard.limits.memory import MemoryLimits

__all__ = [
    "Admitted",
    "Ask",
    "Attempt",
    "Basis",
    "Books",
    "Decision",
    "Heading",
    "Ledger",
    "LedgerLine",
    "LimitSpec",
    "Limits",
    "MemoryLimits",
    "Outcome",
    "Queued",
    "Refused",
    "Scope",
    "Totals",
]
