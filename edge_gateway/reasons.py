"""Why an edge cannot do its work, as one word that pages and the hub say in sentences."""

LINE_DOWN = "line_down"
NOT_ADMITTED = "not_admitted"
HUB_NOT_READY = "hub_not_ready"
SPOOL_FULL = "spool_full"
SPOOL_LOW = "spool_low"
PARKED = "parked"
