"""FHIR R4 as a wire: formats, structures, checks, searches, one endpoint; no domain is known."""
