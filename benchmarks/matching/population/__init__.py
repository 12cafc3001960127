"""A generated Chinese district: households, registrations at its sites, and what goes wrong."""
