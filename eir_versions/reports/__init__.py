"""Reports of studies: DICOM documents and HL7 results in, what each reader may see out."""
