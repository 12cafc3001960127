"""Lists that a source sends, as submission set and folders (MHD 2:3.65, ITI TF-3 4.5.2, 4.5.3)."""

from hub_kernel.fhir.outcome import Resource
from xds_registry.mhd.authors import AUTHOR_ORGANIZATION, author_of, recipient_of
from xds_registry.mhd.codes import OID_PREFIX, code_of, codes_of, oid_of
from xds_registry.mhd.entry_reading import Sent
from xds_registry.mhd.lists import DESIGNATION_TYPE, FURTHER_AUTHOR, INTENDED_RECIPIENT, SOURCE_ID
from xds_registry.mhd.times import dtm_of
from xds_registry.model import NO_CODE, Author, Folder, SubmissionSet


def read_submission_set(sent: Sent) -> SubmissionSet:
    """Return the submission set that a List is."""
    said = sent.placed.resource
    code = code_of(next(iter(_concepts(said)), None))
    return SubmissionSet(
        entry_uuid=sent.entry_id,
        unique_id=_unique_id(said),
        source_id=_source_id(said),
        patient_id=sent.patient_id,
        linked_identifier=sent.patient_id,
        submission_time=dtm_of(said["date"]) if "date" in said else "",
        content_type_code=code,
        authors=_authors(said, sent),
        title=said.get("title", ""),
        comments=_comments(said),
        intended_recipients=_recipients(said, sent),
        limited_metadata=code == NO_CODE and not sent.comprehensive,
    )


def read_folder(sent: Sent) -> Folder:
    """Return the folder that a List is."""
    said = sent.placed.resource
    codes = codes_of(_concepts(said))
    title = said.get("title", "")
    return Folder(
        entry_uuid=sent.entry_id,
        unique_id=_unique_id(said),
        patient_id=sent.patient_id,
        linked_identifier=sent.patient_id,
        codes=codes,
        title=title,
        comments=_comments(said),
        limited_metadata=not (codes and title) and not sent.comprehensive,
    )


def extensions(resource: Resource, url: str) -> list[Resource]:
    """Return the extensions of that URL."""
    return [one for one in resource.get("extension", ()) if one.get("url") == url]


def _unique_id(said: Resource) -> str:
    """Return the uniqueId: an OID whatever its use, else what is in use, as an OID."""
    identifiers = said.get("identifier", ())
    oids = (one for one in identifiers if one.get("value", "").startswith(OID_PREFIX))
    usual = (one for one in identifiers if one.get("use") == "usual")
    return next(filter(None, map(oid_of, (*oids, *usual))), "")


def _source_id(said: Resource) -> str:
    for one in extensions(said, SOURCE_ID):
        value = str(one.get("valueIdentifier", {}).get("value", ""))
        return value.removeprefix(OID_PREFIX)
    return ""


def _authors(said: Resource, sent: Sent) -> tuple[Author, ...]:
    references = [said["source"]] if "source" in said else []
    references += [one.get("valueReference", {}) for one in extensions(said, FURTHER_AUTHOR)]
    organizations = extensions(said, AUTHOR_ORGANIZATION)
    if organizations and not references:
        references = [{"extension": organizations}]
    found = (author_of(one, sent.resolve) for one in references)
    return tuple(one for one in found if one is not None)


def _recipients(said: Resource, sent: Sent) -> tuple[str, ...]:
    references = (one.get("valueReference", {}) for one in extensions(said, INTENDED_RECIPIENT))
    return tuple(filter(None, (recipient_of(one, sent.resolve) for one in references)))


def _concepts(said: Resource) -> list[Resource]:
    return [one.get("valueCodeableConcept", {}) for one in extensions(said, DESIGNATION_TYPE)]


def _comments(said: Resource) -> str:
    return "\n".join(one["text"] for one in said.get("note", ()))
