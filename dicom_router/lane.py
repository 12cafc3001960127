"""What an established association is served with, whichever lane serves it."""

from dataclasses import dataclass

from dicom_router.association_request import AssociationRequest
from dicom_router.handlers.c_find import FindService
from dicom_router.handlers.c_store import StoreService
from dicom_router.handlers.commitment import CommitmentService
from dicom_router.handlers.retrieve import RetrieveService
from dicom_router.message_stream import Limits
from dicom_router.model import Caller, Tally
from dicom_router.presentation import Agreed


@dataclass(frozen=True)
class Services:
    """The handlers, made once for the node."""

    store: StoreService
    find: FindService
    retrieve: RetrieveService
    commitment: CommitmentService


@dataclass(frozen=True)
class Lane:
    """One association: who calls, what was asked and agreed, who serves, and what happened."""

    caller: Caller
    request: AssociationRequest
    agreed: Agreed
    services: Services
    limits: Limits
    tally: Tally
