"""What every package of the hub may import: identifiers, events, errors, settings, database."""
