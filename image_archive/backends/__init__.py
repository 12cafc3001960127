"""Implementations of the archive's seam; `hub_runtime.foundation` looks them up by name."""
