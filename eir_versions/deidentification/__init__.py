"""De-identification: research export (DICOM PS3.15 Annex E) and text burned into pixels."""
