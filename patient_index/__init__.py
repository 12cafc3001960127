"""The global patient ID: which identifiers of which sites belong to one person."""
