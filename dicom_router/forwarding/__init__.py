"""Forwarding: a ledger row per instance and destination, and the workers that settle it."""
