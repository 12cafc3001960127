"""Cross-community access: asking other communities, and being asked (XCA, XCA-I)."""
