"""Alembic migrations: the only way the product's tables come to be and change."""
