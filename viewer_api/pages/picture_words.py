"""Why a picture cannot be shown, in words a doctor can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eir_versions import reasons
from viewer_api.pages.words import lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from viewer_api.pages.words import LazyText

_DAMAGED = lazy_gettext("The stored picture is damaged.")
_UNKNOWN_FORM = lazy_gettext("The picture is stored in a form the hub cannot decode.")
_TOO_HARD = lazy_gettext("The picture could not be decoded within the limits of safety.")

_WHAT: Mapping[str, LazyText] = {
    reasons.NO_PIXEL_DATA: lazy_gettext("This object holds no picture."),
    reasons.UNREADABLE: _DAMAGED,
    reasons.LENGTH_MISMATCH: _DAMAGED,
    reasons.CODESTREAM_MISMATCH: _DAMAGED,
    reasons.DECODE_FAILED: _DAMAGED,
    reasons.UNSUPPORTED_PIXELS: _UNKNOWN_FORM,
    reasons.UNSUPPORTED_TRANSFER_SYNTAX: _UNKNOWN_FORM,
    reasons.TOO_LARGE: lazy_gettext("The picture is too large to be shown whole on a page."),
    reasons.DECODER_CRASHED: _TOO_HARD,
    reasons.DECODER_TIMEOUT: _TOO_HARD,
    reasons.DECODER_OUT_OF_MEMORY: _TOO_HARD,
    reasons.NO_SUCH_FRAME: lazy_gettext("The object holds fewer pictures than it says."),
    reasons.PRESENTATION_STATE: lazy_gettext("The presentation state is not for this picture."),
    reasons.STATE_NOT_APPLIED: lazy_gettext(
        "The hub does not apply presentation states of this kind."
    ),
    reasons.STATE_NOT_POSSIBLE: lazy_gettext(
        "The presentation state asks for what the hub cannot do."
    ),
    reasons.NO_SUV: lazy_gettext("No SUV can be told of this picture."),
    reasons.NOT_STORED: lazy_gettext("The picture is not in the archive at present."),
}
_RESEND = lazy_gettext("Ask the site that made it to send it again.")
_WORKSTATION = lazy_gettext("It is safe in the archive; open it at a DICOM workstation.")
_AS_STORED = lazy_gettext('Choose "As stored" to see it as it was sent.')
_ENGINEER = lazy_gettext("Tell the hub's engineers; they can bring it back.")
_ADVICE: Mapping[str, LazyText] = {
    reasons.UNREADABLE: _RESEND,
    reasons.LENGTH_MISMATCH: _RESEND,
    reasons.CODESTREAM_MISMATCH: _RESEND,
    reasons.DECODE_FAILED: _RESEND,
    reasons.NO_SUCH_FRAME: _RESEND,
    reasons.NOT_STORED: _ENGINEER,
    reasons.PRESENTATION_STATE: _AS_STORED,
    reasons.STATE_NOT_APPLIED: _AS_STORED,
    reasons.STATE_NOT_POSSIBLE: _AS_STORED,
    reasons.NO_SUV: _AS_STORED,
}


def picture_refusal(reason: str) -> tuple[str, str]:
    """Return what is the matter and what to do for a reason of `eir_versions.reasons`."""
    what = _WHAT.get(reason) or lazy_gettext("This picture cannot be shown.")
    return str(what), str(_ADVICE.get(reason) or _WORKSTATION)
