"""Backup of a whole hub to a folder, and its return to an empty host (decision 0070)."""
