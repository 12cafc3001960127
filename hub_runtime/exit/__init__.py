"""Everything a hub holds as plain files for whoever leaves it, and the way back (decision 0070)."""
