"""One module per DIMSE service the node provides (PS3.7)."""
