"""What access control refuses, drawn as a tree; each edge maps the leaves to its own statuses.

```
HubError
└── AccessControlError
    ├── SiteRefusedError             an association is not admitted (PS3.8 9.3.4)
    │   ├── UnknownCallingAeTitleError
    │   ├── WrongAddressError
    │   ├── TlsDemandedError         the site is admitted by TLS with its certificate alone
    │   └── WrongCertificateError    the certificate is another's, unbound, withdrawn or over
    ├── SiteExistsError              a site cannot be added beside the others
    ├── BadCredentialsError          unknown user or wrong password: never said which
    ├── AccountLockedError           too many failures; holds until when
    ├── AccountExistsError
    ├── LinkRefusedError             guessed, expired, revoked, locked, wrong passcode: one answer
    ├── InsecureKeyFileError         a key file others can read, or of the wrong size
    ├── CertificateAuthorityError    the hub's own CA cannot be read, made or written
    ├── KeptHeadError                the kept head of the audit trail cannot be read
    ├── AuditNotDeliveredError       the audit repository did not take a batch; it is sent again
    └── AssertionRefusedError        a SAML assertion does not hold; the rule is for the audit alone
InvalidValueError
├── InvalidSiteError
├── InvalidAccountError
├── InvalidLinkError
├── InvalidConsentError
├── InvalidHoldError
├── InvalidBreakGlassError
│   └── TooManyOpenError         a reader holds too many records open in emergency
└── InvalidAuditEventError
```
"""

from datetime import datetime

from hub_kernel.errors import HubError, InvalidValueError


class AccessControlError(HubError):
    """The root of everything access control refuses."""


class SiteRefusedError(AccessControlError):
    """The calling application is not admitted."""


class UnknownCallingAeTitleError(SiteRefusedError):
    """No site has the calling AE title."""


class WrongAddressError(SiteRefusedError):
    """The AE title is a site's, the address is in none of that site's networks."""


class TlsDemandedError(SiteRefusedError):
    """The site is marked TLS only and the association proves no certificate."""


class WrongCertificateError(SiteRefusedError):
    """The certificate that was proven is not bound to this site and AE title, or is withdrawn."""


class SiteExistsError(AccessControlError):
    """The site, one of its AE titles or its assigning authority clashes with a known site."""


class BadCredentialsError(AccessControlError):
    """Unknown user, disabled user or wrong password; the message is the same for all of them."""

    def __init__(self) -> None:
        super().__init__("the user name or the password is wrong")


class AccountLockedError(AccessControlError):
    """Too many failed sign-ins for this name, whether or not an account of that name exists."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"too many failed sign-ins; try again after {until.isoformat()}")
        self.until = until


class AccountExistsError(AccessControlError):
    """The user name or the token name is taken."""


class LinkRefusedError(AccessControlError):
    """The link does not open. Why is never said: every reason is a hint to somebody guessing.

    `remaining` is for apps that must be told (SMART Health Links): how many wrong passcodes the
    living link still takes, None where nothing would open it. No page ever shows it.
    """

    def __init__(self, remaining: int | None = None) -> None:
        super().__init__("this link and passcode do not open anything")
        self.remaining = remaining


class InsecureKeyFileError(AccessControlError):
    """A key file can be read by others, or does not hold a key."""


class CertificateAuthorityError(AccessControlError):
    """The hub's own certificate authority, or a file it was to write, cannot be used."""


class KeptHeadError(AccessControlError):
    """The kept head of the audit trail cannot be read: it is damaged, or not a plain file."""


class AuditNotDeliveredError(AccessControlError):
    """The audit record repository did not take a batch; the message says why, nothing else."""


class AssertionRefusedError(AccessControlError):
    """A SAML assertion does not hold; `rule` says why, for the log and never for the asker."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"the assertion is refused: {rule}")
        self.rule = rule


class InvalidSiteError(InvalidValueError):
    """A site's description breaks a rule; the message names the site, the field and the rule."""


class InvalidAccountError(InvalidValueError):
    """A user or a token is described in a way the rules forbid."""


class InvalidLinkError(InvalidValueError):
    """A shared link is asked for with an impossible expiry, passcode or view cap."""


class InvalidConsentError(InvalidValueError):
    """A consent names no scope, person or reason that could be honoured."""


class InvalidAuditEventError(InvalidValueError):
    """An audit event lacks what every record must hold."""


class InvalidHoldError(InvalidValueError):
    """A legal hold without a reason, or one that cannot be placed now; the message says which."""


class InvalidBreakGlassError(InvalidValueError):
    """A record cannot be opened in emergency, or reviewed, like this; the message says why."""


class TooManyOpenError(InvalidBreakGlassError):
    """The reader holds as many records open in emergency as anybody may; ending one makes room."""
