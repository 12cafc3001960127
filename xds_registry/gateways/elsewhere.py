"""What other communities hold of a person, for a reader at this hub: documents, and their pictures.

The reader asks as a document consumer does (ITI-18, ITI-43, RAD-69), so that the same gateway
decides about site, role and consent and puts the access on record.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lxml import etree

from access_control.model import Subject
from xds_registry import vocabulary as v
from xds_registry.ebrim_reading import read_objects
from xds_registry.errors import XdsRegistryError
from xds_registry.gateways.communities import Community
from xds_registry.imaging_manifests import ManifestContents, read_manifest
from xds_registry.imaging_requests import (
    MOST_IMAGES,
    ImageRequest,
    ImagingRequest,
    write_imaging_request,
)
from xds_registry.model import DocumentEntry
from xds_registry.mtom import Attachment
from xds_registry.transacting import Answer, Asked
from xds_registry.transactions import iti18_registry_stored_query as iti18
from xds_registry.transactions import iti43_retrieve_document_set as iti43
from xds_registry.transactions import rad69_retrieve_imaging_document_set as rad69
from xds_registry.version_documents import is_version

CarryOut = Callable[[str, Asked], Answer]
"""Carries out the transaction of an action (`SoapEndpoint.carry_out`)."""

_LARGEST_MANIFEST = 8 * 1024 * 1024
_READABLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)


class NothingRetrievedError(XdsRegistryError):
    """The other community gave nothing: it does not answer, has it no longer, or refuses."""


@dataclass(frozen=True)
class Reader:
    """Who reads, and from which address."""

    subject: Subject
    address: str


@dataclass(frozen=True)
class DocumentAddress:
    """Where a document is: community, repository, and its uniqueId there."""

    home_community_id: str
    repository_unique_id: str
    unique_id: str


@dataclass(frozen=True)
class FoundElsewhere:
    """Documents of other communities, oldest first; `unanswered` names who did not answer."""

    entries: tuple[DocumentEntry, ...]
    unanswered: tuple[str, ...]


@dataclass(frozen=True)
class Doors:
    """How documents are asked for, and retrieved, and pictures: here and in other communities."""

    query: CarryOut
    retrieve: CarryOut
    images: CarryOut


class Elsewhere:
    """Asks the other communities in the name of a reader."""

    def __init__(self, doors: Doors, communities: Iterable[Community]) -> None:
        self._doors = doors
        self._names = {one.home_community_id: one.name for one in communities}

    @property
    def has_communities(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._names)

    def name_of(self, home_community_id: str) -> str:
        """Return what a community is called; its ID where it is none of those configured."""
        return self._names.get(home_community_id, home_community_id)

    def documents(self, patient_id: str, reader: Reader) -> FoundElsewhere:
        """Return the current documents of the patient, a CX, that the reader may see.

        Versions are left out: readers find them as the study itself, whose manifest is told.
        """
        answer = self._doors.query(
            iti18.ACTION, _asked(iti18.find_documents_request(patient_id), reader)
        ).whole()
        listed = answer.payload.find(f"{{{v.RIM}}}RegistryObjectList")
        entries = () if listed is None else read_objects(listed).submission.entries
        named = (one for one in entries if one.home_community_id in self._names)
        theirs = [one for one in named if not is_version(one)]
        theirs.sort(key=lambda one: (one.creation_time, one.unique_id))
        errors = answer.payload.iter(f"{{{v.RS}}}RegistryError")
        failed = {one.get("location", "") for one in errors}
        unanswered = [name for home, name in self._names.items() if home in failed]
        return FoundElsewhere(tuple(theirs), tuple(unanswered))

    def pictures(self, manifest: DocumentAddress, reader: Reader) -> tuple[Attachment, ...]:
        """Return the images that a manifest of another community lists, as DICOM files.

        Raises:
            NothingRetrievedError: see there.
        """
        listed = self._manifest(manifest, reader)
        images = tuple(
            ImageRequest(
                manifest.home_community_id,
                series.retrieve_location_uid or manifest.repository_unique_id,
                study.study_instance_uid,
                series.series_instance_uid,
                sop_instance_uid,
            )
            for study in listed.studies
            for series in study.series
            for sop_instance_uid in series.sop_instance_uids
        )
        if len(images) > MOST_IMAGES:
            raise NothingRetrievedError("the manifest lists too many images for one request")
        request = write_imaging_request(ImagingRequest(images, _READABLE))
        return _retrieved(self._doors.images(rad69.ACTION, _asked(request, reader)))

    def _manifest(self, manifest: DocumentAddress, reader: Reader) -> ManifestContents:
        if manifest.home_community_id not in self._names:
            raise NothingRetrievedError("no such community")
        request = _retrieval(manifest)
        found = _retrieved(self._doors.retrieve(iti43.ACTION, _asked(request, reader)))
        if found[0].size > _LARGEST_MANIFEST:
            raise NothingRetrievedError("the manifest is too large")
        try:
            return read_manifest(io.BytesIO(b"".join(found[0].open())))
        except XdsRegistryError as error:
            raise NothingRetrievedError("the document is no manifest") from error


def _asked(body: etree._Element, reader: Reader) -> Asked:
    return Asked(body, reader.subject, reader.address)


def _retrieved(answer: Answer) -> tuple[Attachment, ...]:
    if not answer.attachments:
        raise NothingRetrievedError("the other community gave nothing")
    return answer.attachments


def _retrieval(document: DocumentAddress) -> etree._Element:
    request = etree.Element(iti43.REQUEST_TAG, nsmap={"xdsb": v.XDS_B})
    one = etree.SubElement(request, f"{{{v.XDS_B}}}DocumentRequest")
    for name, value in (
        ("HomeCommunityId", document.home_community_id),
        ("RepositoryUniqueId", document.repository_unique_id),
        ("DocumentUniqueId", document.unique_id),
    ):
        etree.SubElement(one, f"{{{v.XDS_B}}}{name}").text = value
    return request
