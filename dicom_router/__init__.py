"""The DICOM node: admission, association negotiation, C-ECHO, C-STORE and C-FIND as an SCP."""
