"""Imaging studies in FHIR R4, and the FHIR manifest of a study (IHE RAD MADO, trial 2026)."""
