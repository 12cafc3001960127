"""The ledger by site: how far each study is, from the edge to the wards, and what is late."""
