"""Provide Document Bundle, read: which entry is what, and one submission of them (MHD 2:3.65)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from xds_registry.mhd.document_references import entry_uuid_of
from xds_registry.mhd.entry_reading import claims_comprehensive
from xds_registry.mhd.lists import LIST_TYPES
from xds_registry.mhd.references import Placed, References
from xds_registry.mhd.submission_reading import Registered, SubjectOf, SubmissionReader
from xds_registry.model import REPLACING, Submission

# People and organizations are read into the metadata of what refers to them.
ACTORS = frozenset({"Practitioner", "PractitionerRole", "Organization", "RelatedPerson", "Device"})
_KINDS = ACTORS | {"DocumentReference", "List", "Binary", "Patient"}
_UPDATE = re.compile(
    r"(DocumentReference|List)/([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_TRANSACTION = Issue(
    "value",
    "no-transaction",
    "a Bundle that is sent here must be a transaction",
    "提交到此处的 Bundle 必须是 transaction",
    where="Bundle.type",
    allowed="transaction",
)
_ONE_SET = Issue(
    "required",
    "one-submission-set",
    "the Bundle must hold exactly one List that is a submission set",
    "Bundle 必须且只能含一个提交集 List",
    where="Bundle.entry",
    allowed=f"List.code: {LIST_TYPES} | submissionset",
)
_LIST_KIND = Issue(
    "code-invalid",
    "list-type",
    "a List is a submission set or a folder",
    "List 必须是提交集或文件夹",
    allowed=f"{LIST_TYPES} | submissionset, folder",
)
_NO_RESOURCE = Issue("required", "no-resource", "an entry needs its resource", "条目缺少资源")
_KIND = Issue(
    "not-supported",
    "entry-type",
    "a Provide Document Bundle holds no resources of this type",
    "文档提交 Bundle 不接受该类型的资源",
    allowed=", ".join(sorted(_KINDS)),
)
_METHOD = Issue(
    "not-supported",
    "entry-method",
    "this interaction is not offered in a Provide Document Bundle",
    "文档提交 Bundle 不支持该操作",
    allowed="POST; PUT and PATCH of what is replaced, PUT of a folder",
)
_UPDATE_ALONE = Issue(
    "not-supported",
    "update-alone",
    "a document is superseded by one that replaces it, and not otherwise",
    "文档只能因被其他文档替换而作废",
    allowed="relatesTo.code: replaces",
)


@dataclass
class ReadBundle:
    """What a request asks to be registered.

    `documents` are base64 by the entryUUID of their entry. `entries` are the resources in their
    order.
    """

    submission: Submission
    documents: dict[str, str]
    reader: SubmissionReader
    entries: Sequence["SentEntry"]


@dataclass(frozen=True)
class SentEntry:
    """One entry of the bundle; `updates` is the entryUUID that a PUT or PATCH names."""

    placed: Placed
    method: str
    updates: str = ""


@dataclass
class _Sorted:
    """The entries of a bundle by what they are."""

    sets: list[Placed] = field(default_factory=list)
    folders: list[Placed] = field(default_factory=list)
    known_folders: list[SentEntry] = field(default_factory=list)
    documents: list[Placed] = field(default_factory=list)
    updates: list[SentEntry] = field(default_factory=list)


def read_bundle(
    bundle: Resource, base: str, subject_of: SubjectOf, registered: Registered
) -> ReadBundle:
    """Return what a transaction Bundle asks for; its resources have been checked against FHIR.

    `base` is the address of this endpoint.

    Raises:
        FhirRefusedError: 400, it cannot be read as a submission at all.
    """
    if bundle["type"] != "transaction":
        raise FhirRefusedError(400, _TRANSACTION.at("Bundle.type", came=bundle["type"]))
    issues: list[Issue] = []
    entries = list(_entries(bundle, issues))
    reader = SubmissionReader(
        References([one.placed for one in entries], base),
        subject_of,
        registered,
        claims_comprehensive(bundle),
        issues=issues,
    )
    found = _sorted(entries, issues)
    if len(found.sets) != 1:
        raise FhirRefusedError(400, *issues, _ONE_SET)
    submission, documents = _read(found, reader)
    return ReadBundle(submission, documents, reader, entries)


def _read(found: _Sorted, reader: SubmissionReader) -> tuple[Submission, dict[str, str]]:
    reader.name(found.sets)
    reader.name(found.folders)
    reader.name(found.documents)
    for one in (*found.known_folders, *found.updates):
        reader.ids[one.placed.path] = one.updates
    set_id = reader.ids[found.sets[0].path]
    folder_ids = {reader.ids[one.path] for one in found.folders}
    folder_ids |= {one.updates for one in found.known_folders}
    submission_set = reader.submission_set(found.sets[0], folder_ids)
    entries = tuple(reader.entry(one) for one in found.documents)
    documents = {
        reader.ids[one.path]: data
        for one in found.documents
        if (data := reader.document(one)) is not None
    }
    folders = tuple(reader.folder(one, set_id) for one in found.folders)
    for folder in found.known_folders:
        reader.further_members(folder.placed, folder.updates, set_id)
    if not submission_set.patient_id and entries:
        # Minimal metadata may leave the subject to the documents.
        patient_id = entries[0].patient_id
        submission_set = replace(
            submission_set, patient_id=patient_id, linked_identifier=patient_id
        )
    replaced = {one.target for one in reader.associations if one.association_type in REPLACING}
    for one in found.updates:
        if one.updates not in replaced:
            reader.issues.append(_UPDATE_ALONE.at(one.placed.path))
    submission = Submission(
        submission_set=submission_set,
        entries=entries,
        folders=folders,
        associations=tuple(reader.associations),
    )
    return submission, documents


def _entries(bundle: Resource, issues: list[Issue]) -> Iterator[SentEntry]:
    for number, entry in enumerate(bundle.get("entry", ())):
        path = f"Bundle.entry[{number}].resource"
        request = entry.get("request", {})
        method = request.get("method", "POST")
        resource = entry.get("resource")
        if resource is None:
            issues.append(_NO_RESOURCE.at(path))
            continue
        placed = Placed(resource, path, entry.get("fullUrl", ""))
        found = _UPDATE.fullmatch(request.get("url", "").partition("?")[0])
        updates = entry_uuid_of(found[2]) if found and method in {"PUT", "PATCH"} else ""
        if method != "POST" and not updates:
            issues.append(_METHOD.at(f"Bundle.entry[{number}].request.method", came=method))
        yield SentEntry(placed, method, updates)


def _sorted(entries: Sequence[SentEntry], issues: list[Issue]) -> _Sorted:
    found = _Sorted()
    for one in entries:
        kind = one.placed.kind
        if kind == "List":
            _sort_list(one, found, issues)
        elif one.updates:
            found.updates.append(one)
        elif kind == "DocumentReference":
            found.documents.append(one.placed)
        elif kind not in _KINDS:
            issues.append(_KIND.at(one.placed.path, came=shown(kind)))
    return found


def _sort_list(one: SentEntry, found: _Sorted, issues: list[Issue]) -> None:
    codings = one.placed.resource.get("code", {}).get("coding", ())
    kinds = {two.get("code") for two in codings if two.get("system", LIST_TYPES) == LIST_TYPES}
    if "submissionset" in kinds and not one.updates:
        found.sets.append(one.placed)
    elif "folder" in kinds and one.updates:
        found.known_folders.append(one)
    elif "folder" in kinds:
        found.folders.append(one.placed)
    else:
        issues.append(_LIST_KIND.at(f"{one.placed.path}.code"))
