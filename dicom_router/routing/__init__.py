"""Routing: rules that say where an instance goes, as data; pure, without framework or database."""
