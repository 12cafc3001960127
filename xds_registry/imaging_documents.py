"""The archive as an Imaging Document Source: instances by study, series and UID (RAD TF-3 4.69).

An instance leaves in a transfer syntax the asker listed: as it is stored where that is listed, else
decoded where that loses nothing, else not at all.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.errors import ArchiveError
from image_archive.exporting import ExportedInstance, as_stored
from image_archive.index import ArchiveIndex
from image_archive.model import Condition, InstanceRecord, StudyRecord
from xds_registry.errors import ErrorCode, ErrorText, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.imaging_requests import ImageRequest, ImagingRequest
from xds_registry.linked_people import LinkedPeople

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

Decode = Callable[[InstanceRecord], ExportedInstance | None]
"""Gives an instance in Explicit VR Little Endian without loss, or None where that has no form."""

_NO_SUCH_IMAGE = ErrorText(
    "no instance with these study, series and SOP Instance UIDs is available to you",
    "没有您可以获取的、与该检查、序列和 SOP 实例标识相符的实例",
)
_NO_SUCH_SYNTAX = ErrorText(
    "the instance cannot be given in any of the transfer syntaxes listed without loss",
    "无法以所列的任何传输语法无损地提供该实例",
)
_DAMAGED = ErrorText(
    "the stored instance cannot be read unchanged; the hub's operators have to mend it",
    "存储的实例无法完整读取；需由平台运维人员修复",
)


@dataclass(frozen=True)
class ImagingSource:
    """What images are served from, as whom. `home_community_id` is ours, or empty."""

    index: ArchiveIndex
    backend: ArchiveBackend
    decode: Decode | None
    people: LinkedPeople
    gate: Gate
    repository_unique_id: str
    home_community_id: str


@dataclass(frozen=True)
class ImageOutcome:
    """What became of one image: its file, or why there is none."""

    request: ImageRequest
    exported: ExportedInstance | None = None
    refusal: XdsRefusalError | None = None


def find_images(request: ImagingRequest, source: ImagingSource) -> list[ImageOutcome]:
    """Return the outcome of every image asked for, in order.

    One that may not be seen is answered like one that does not exist.
    """
    seen = _seen_studies(request.images, source)
    instances = _instances(seen, request.images, source.index)
    return [_outcome(image, instances, request, source) for image in request.images]


def _seen_studies(images: Iterable[ImageRequest], source: ImagingSource) -> frozenset[str]:
    """Return the studies of this archive, among those asked about, that the asker may see."""
    uids = dict.fromkeys(image.study_instance_uid for image in images)
    return frozenset(
        uid
        for uid in uids
        if uid and (study := source.index.study(uid)) is not None and _may_be_seen(study, source)
    )


def _may_be_seen(study: StudyRecord, source: ImagingSource) -> bool:
    """Decide about the person; a patient nobody has linked yet is the whole region's alone."""
    patient = study.patient.cx
    return source.gate.sees_person(source.people.person_of(patient) or patient)


def _instances(
    studies: Collection[str], images: Iterable[ImageRequest], index: ArchiveIndex
) -> Mapping[tuple[str, str, str], InstanceRecord]:
    """Return the instances of the series asked about, by (study, series, instance)."""
    series = dict.fromkeys(
        (image.study_instance_uid, image.series_instance_uid)
        for image in images
        if image.study_instance_uid in studies and image.series_instance_uid
    )
    return {
        (study_uid, series_uid, instance.sop_instance_uid): instance
        for study_uid, series_uid in series
        for instance in index.instances_of(study_uid, series_uid)
    }


def _outcome(
    image: ImageRequest,
    instances: Mapping[tuple[str, str, str], InstanceRecord],
    request: ImagingRequest,
    source: ImagingSource,
) -> ImageOutcome:
    try:
        instance = _found(image, instances, source)
        exported = _exported(instance, request.transfer_syntax_uids, source)
        return ImageOutcome(image, exported=exported)
    except XdsRefusalError as refusal:
        return ImageOutcome(image, refusal=refusal)


def _found(
    image: ImageRequest,
    instances: Mapping[tuple[str, str, str], InstanceRecord],
    source: ImagingSource,
) -> InstanceRecord:
    if image.home_community_id not in {"", source.home_community_id}:
        raise XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, image.home_community_id)
    ours = source.repository_unique_id
    if image.repository_unique_id != ours:
        raise XdsRefusalError(ErrorCode.UNKNOWN_REPOSITORY, image.repository_unique_id, ours)
    address = image.study_instance_uid, image.series_instance_uid, image.sop_instance_uid
    place = ":".join(address)
    if not all(address):
        raise XdsRefusalError(ErrorCode.IMAGING_REQUEST, place)
    if address not in instances:
        raise XdsRefusalError(ErrorCode.DOCUMENT_UNIQUE_ID, place, rule=_NO_SUCH_IMAGE)
    return instances[address]


def _exported(
    instance: InstanceRecord, accepted: Collection[str], source: ImagingSource
) -> ExportedInstance:
    uid = instance.sop_instance_uid
    if instance.condition is not Condition.INTACT:
        raise XdsRefusalError(ErrorCode.REPOSITORY_ERROR, uid, rule=_DAMAGED)
    try:
        for exported in _forms(instance, accepted, source):
            return exported
    except (ArchiveError, NotFoundError) as error:
        raise XdsRefusalError(ErrorCode.REPOSITORY_ERROR, uid, rule=_DAMAGED) from error
    possible = dict.fromkeys((instance.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN))
    raise XdsRefusalError(
        ErrorCode.REPOSITORY_ERROR, uid, ", ".join(possible), rule=_NO_SUCH_SYNTAX
    )


def _forms(
    instance: InstanceRecord, accepted: Collection[str], source: ImagingSource
) -> Iterator[ExportedInstance]:
    """Yield the forms the asker reads, the stored one first."""
    if instance.transfer_syntax_uid in accepted:
        yield as_stored(source.backend, instance)
    elif EXPLICIT_VR_LITTLE_ENDIAN in accepted and source.decode is not None:
        decoded = source.decode(instance)
        if decoded is not None:
            yield decoded
