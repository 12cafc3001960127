"""What is known of an established association, whichever lane serves it."""

from dataclasses import dataclass

from dicom_router.association_request import AssociationRequest
from dicom_router.message_stream import Limits
from dicom_router.model import Caller, Tally
from dicom_router.presentation import Agreed


@dataclass(frozen=True)
class Lane:
    """One association: who calls, what was asked and agreed, and what happened."""

    caller: Caller
    request: AssociationRequest
    agreed: Agreed
    limits: Limits
    tally: Tally
