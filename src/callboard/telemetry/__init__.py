"""Telemetry: what the runtime tells about itself, one line for each event of a versioned schema."""

from callboard.telemetry.libraries import library_logs
from callboard.telemetry.logging import Log, open_log
from callboard.telemetry.observer import observe_bug, observe_domain, observe_kernel, observe_ledger
from callboard.telemetry.schema import VERSION

__all__ = [
    "VERSION",
    "Log",
    "library_logs",
    "observe_bug",
    "observe_domain",
    "observe_kernel",
    "observe_ledger",
    "open_log",
]
