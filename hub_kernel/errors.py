"""The root of the hub's error tree; each package hangs its own branch under it."""


class HubError(Exception):
    """Something the hub decided to refuse or could not do; caught at an edge that knows the status.

    The message says what, where and what is allowed. It never holds patient data.
    """


class ConfigurationError(HubError):
    """A setting is unknown, ill-typed or contradicts another; the start is refused."""


class InvalidValueError(HubError):
    """A value given by a person or a peer breaks the rule named in the message."""


class InvalidUidError(InvalidValueError):
    """A UID breaks DICOM PS3.5 section 9.1."""


class NotFoundError(HubError):
    """What was named does not exist, or may not be known to exist."""
