"""One module per IHE transaction; each turns a request's payload into an answer's payload."""
