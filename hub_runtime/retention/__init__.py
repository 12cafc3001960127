"""Retention as a hub has it: what is past its term, what holds it, and deleting it everywhere."""
