"""One module for each IHE transaction that arrives over MLLP."""
