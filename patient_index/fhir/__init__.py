"""The FHIR R4 endpoint of the patient index: PIXm, PDQm and the patient identity feed (IHE ITI)."""
