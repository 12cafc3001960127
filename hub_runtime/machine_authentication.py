"""Who speaks SOAP to the hub: a machine with its bearer token (RFC 6750), or in trials anybody."""

from collections.abc import Callable
from typing import Any

from access_control.model import Role, Subject, SubjectKind
from access_control.tokens import MachineTokens

Authenticate = Callable[[dict[str, Any]], Subject | None]

_TRIAL = Subject(
    kind=SubjectKind.MACHINE,
    subject_id="trial",
    display="machine authentication is off",
    roles=frozenset({Role.RADIOLOGIST}),
    sites=None,
)


def by_token(tokens: MachineTokens) -> Authenticate:
    """Return what finds the machine behind a WSGI request's bearer token, None without one."""

    def authenticate(environ: dict[str, Any]) -> Subject | None:
        scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        return tokens.subject(token.strip()) if scheme.lower() == "bearer" else None

    return authenticate


def none_needed(tokens: MachineTokens) -> Authenticate:
    """Return what takes everybody without a token for one trial machine that sees everything."""
    with_token = by_token(tokens)
    return lambda environ: with_token(environ) or _TRIAL


AUTHENTICATIONS: dict[str, Callable[[MachineTokens], Authenticate]] = {
    "token": by_token,
    "none": none_needed,
}
