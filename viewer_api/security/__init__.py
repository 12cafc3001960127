"""The security edge of the web: who asks, may they, and the record that they asked.

Pages and endpoints use what is named here and nothing below it:

* `signed_in` and `open_to_everyone` mark a view. A view without a mark needs a signed-in reader.
* `current_subject`, `permitted`, `require`, `record_access` ask the one decision and write the
  audit record. `broken_glass` says whether an emergency allowed it.
* `study_resource`, `person_resource`, `require_study` say what a decision is about.
* `csrf_token`, `set_session_cookie`, `clear_session_cookie`, `safe_next` serve the pages.
"""

from viewer_api.security.access import (
    broken_glass,
    opened_in_emergency,
    permitted,
    record_access,
    refuse,
    require,
)
from viewer_api.security.cookies import (
    LINK_COOKIE,
    SESSION_COOKIE,
    clear_named_cookie,
    clear_session_cookie,
    named_cookie,
    session_token,
    set_named_cookie,
    set_session_cookie,
)
from viewer_api.security.csrf import believes_no_cookie, csrf_token
from viewer_api.security.headers import takes_large_bodies
from viewer_api.security.navigation import is_https, public_root, safe_next, viewer_root
from viewer_api.security.resources import (
    identifiers_of_person,
    identifiers_searched,
    known_sites,
    person_resource,
    require_study,
    shown_persons,
    study_resource,
    withheld_studies,
)
from viewer_api.security.subjects import (
    SIGN_IN_PATH,
    current_subject,
    open_to_everyone,
    signed_in,
)

__all__ = [
    "LINK_COOKIE",
    "SESSION_COOKIE",
    "SIGN_IN_PATH",
    "believes_no_cookie",
    "broken_glass",
    "clear_named_cookie",
    "clear_session_cookie",
    "csrf_token",
    "current_subject",
    "identifiers_searched",
    "is_https",
    "identifiers_of_person",
    "known_sites",
    "named_cookie",
    "open_to_everyone",
    "opened_in_emergency",
    "permitted",
    "person_resource",
    "public_root",
    "record_access",
    "refuse",
    "require",
    "require_study",
    "safe_next",
    "session_token",
    "set_named_cookie",
    "set_session_cookie",
    "shown_persons",
    "signed_in",
    "study_resource",
    "takes_large_bodies",
    "viewer_root",
    "withheld_studies",
]
