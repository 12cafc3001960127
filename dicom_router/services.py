"""The handlers that serve requests, made once for the node."""

from dataclasses import dataclass

from dicom_router.handlers.c_find import FindService
from dicom_router.handlers.c_store import StoreService
from dicom_router.handlers.commitment import CommitmentService
from dicom_router.handlers.retrieve import RetrieveService


@dataclass(frozen=True)
class Services:
    """One handler for each service class."""

    store: StoreService
    find: FindService
    retrieve: RetrieveService
    commitment: CommitmentService
