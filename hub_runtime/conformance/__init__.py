"""A published test kit, run against a hub that serves: what is run, in which order, and how."""
