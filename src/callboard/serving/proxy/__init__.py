"""The generic proxy."""
