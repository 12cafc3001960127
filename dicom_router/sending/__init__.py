"""The node as an SCU: instances sent to a peer, and storage commitment asked of it."""
