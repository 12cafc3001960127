"""The township gateway: instances and ledger between an edge and its hub over HTTPS."""
