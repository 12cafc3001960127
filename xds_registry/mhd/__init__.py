"""Documents over FHIR R4: IHE MHD 4.2 and imaging studies, from the registry's own store."""
