"""Implementations of the archive's seam; `hub_runtime.bootstrap` looks them up by name."""
