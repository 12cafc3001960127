"""The three versions of an imaging record: recipes, rendering and the version ledger."""
