"""What a subscription is for: topics, filters, and what matches them (ITI TF-2 3.52.5).

A filter has the parameters of the stored query whose objects it is about, and the identifier of its
kind. What is not known here is refused: a filter that is left out would tell more than was asked.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xds_registry.errors import XdsRefusalError
from xds_registry.model import DocumentEntry, SubmissionSet
from xds_registry.stored_queries import (
    DOCUMENT_FILTERS,
    FIND_DOCUMENTS_FILTERS,
    Parameters,
    document_filter,
    like,
)

FULL = "ihe:FullDocumentEntry"
MINIMAL = "ihe:MinimalDocumentEntry"
SUBMISSION_SET = "ihe:SubmissionSetMetadata"
TOPICS = frozenset({FULL, MINIMAL, SUBMISSION_SET})

Slots = Sequence[tuple[str, Sequence[str]]]
Item = DocumentEntry | SubmissionSet
_MOST_TEXT = 20_000

_SET = "$XDSSubmissionSet"
_AUTHORS = (f"{_SET}AuthorPerson", f"{_SET}Author")
_SET_PARAMETERS = frozenset({f"{_SET}SourceId", f"{_SET}IntendedRecipient", *_AUTHORS})
_DOCUMENT = "$XDSDocumentEntry"
_KINDS_OF_DOCUMENT = frozenset(
    f"{_DOCUMENT}{name}"
    for name in ("ClassCode", "TypeCode", "PracticeSettingCode", "HealthcareFacilityTypeCode")
)


@dataclass(frozen=True)
class FilterKind:
    """One kind of filter: its topics, its parameters, and which of them it cannot be without.

    `patient` names the parameter that says whose objects are meant; it is empty where anybody's
    are, and then one of `one_of` is needed.
    """

    topics: frozenset[str]
    parameters: frozenset[str]
    patient: str = ""
    one_of: frozenset[str] = frozenset()


_DOCUMENTS = frozenset({FULL, MINIMAL})
_SETS = frozenset({SUBMISSION_SET})
FILTER_KINDS: Mapping[str, FilterKind] = {
    "urn:uuid:aa2332d0-f8fe-11e0-be50-0800200c9a66": FilterKind(
        _DOCUMENTS, frozenset(DOCUMENT_FILTERS), f"{_DOCUMENT}PatientId"
    ),
    "urn:uuid:742790e0-aba6-43d6-9f1f-e43ed9790b79": FilterKind(
        _DOCUMENTS, FIND_DOCUMENTS_FILTERS, one_of=_KINDS_OF_DOCUMENT
    ),
    "urn:uuid:fbede94e-dbdc-4f6b-bc1f-d730e677cece": FilterKind(
        _SETS, _SET_PARAMETERS, f"{_SET}PatientId"
    ),
    "urn:uuid:868cad3d-ec09-4565-b66c-1be10d034399": FilterKind(
        _SETS, _SET_PARAMETERS, one_of=_SET_PARAMETERS
    ),
}


@dataclass(frozen=True)
class Filter:
    """A topic and what its objects must be like; `patient_id` is as written, empty for anybody."""

    topic: str
    query_id: str
    slots: Slots
    patient_id: str = ""

    @property
    def about_documents(self) -> bool:
        """Whether document entries are told of, and not submission sets."""
        return self.topic in _DOCUMENTS

    def text(self) -> str:
        """Return the slots as JSON; `read_slots` gives them back."""
        return json.dumps(self.slots, ensure_ascii=False)


class FilterError(Exception):
    """A filter that cannot be used; `en` and `zh` say why, without repeating what was sent."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


def checked_filter(asked: Filter) -> Filter:
    """Return `asked` with its patient, if what it says can be decided for every object.

    Raises:
        FilterError: an unknown kind or parameter, one that is missing or malformed.
    """
    kind = FILTER_KINDS.get(asked.query_id)
    if kind is None or asked.topic not in kind.topics:
        raise FilterError(
            "the filter has no id that goes with the topic", "过滤条件的标识与主题不符"
        )
    if len(asked.text()) > _MOST_TEXT:
        raise FilterError("the filter is too long", "过滤条件过长")
    names = {name for name, _ in asked.slots}
    if names - kind.parameters - {kind.patient}:
        raise FilterError(
            "the filter has a parameter that this kind of filter does not have",
            "过滤条件含有该类订阅不支持的参数",
        )
    if kind.one_of and not names & kind.one_of:
        raise FilterError(
            f"the filter needs one of {', '.join(sorted(kind.one_of))}",
            f"过滤条件至少需要以下参数之一：{'、'.join(sorted(kind.one_of))}",
        )
    try:
        parameters = Parameters.parse(asked.slots)
        patient = parameters.required(kind.patient) if kind.patient else ""
        matcher(asked)
    except XdsRefusalError as refusal:
        raise FilterError(
            f"the filter cannot be read: {refusal.code}", f"过滤条件无法解析：{refusal.code}"
        ) from refusal
    return replace(asked, patient_id=patient)


def matcher(wanted: Filter) -> Callable[[Item], bool]:
    """Return the test of a filter, whoever the patient is.

    Raises:
        XdsRefusalError: a value is malformed.
    """
    parameters = Parameters.parse(wanted.slots)
    if wanted.about_documents:
        of_document = document_filter(parameters, FILTER_KINDS[wanted.query_id].parameters)
        return lambda item: isinstance(item, DocumentEntry) and of_document(item)
    of_set = _set_filter(parameters)
    return lambda item: isinstance(item, SubmissionSet) and of_set(item)


def read_slots(text: str) -> Slots:
    """Return the slots that `Filter.text` wrote."""
    return [(name, tuple(values)) for name, values in json.loads(text)]


def _set_filter(parameters: Parameters) -> Callable[[SubmissionSet], bool]:
    sources = parameters.all(f"{_SET}SourceId")
    authors = [like(text) for name in _AUTHORS for text in parameters.all(name)]
    recipients = [like(text) for text in parameters.all(f"{_SET}IntendedRecipient")]

    def test(item: SubmissionSet) -> bool:
        people = [author.person for author in item.authors]
        return (
            (not sources or item.source_id in sources)
            and (not authors or any(p.fullmatch(one) for p in authors for one in people))
            and (
                not recipients
                or any(p.fullmatch(one) for p in recipients for one in item.intended_recipients)
            )
        )

    return test
