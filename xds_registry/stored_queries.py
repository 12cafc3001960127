"""Stored query parameters as values, and what they match (ITI TF-2 3.18.4.1.2.3).

Pure: no XML and no database. Values are literals and nothing else; whatever stands between the
quotes is compared, never executed.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from xds_registry.errors import ErrorCode, MetadataValueError, XdsRefusalError
from xds_registry.model import Code, DocumentEntry, Folder, SubmissionSet, dtm_start

_LITERAL = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^\s',()]+))\s*(,|$)")
_MOST_VALUES = 10_000

Group = tuple[str, ...]
"""Values of one slot: an object matches a group when it matches any of them."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of one stored query: by name, one group per slot, all groups must match."""

    groups: Mapping[str, tuple[Group, ...]]

    @classmethod
    def parse(cls, slots: Sequence[tuple[str, Sequence[str]]]) -> "Parameters":
        """Read slots (name, texts of their values) in the coding style of 3.18.4.1.2.3.5.

        Raises:
            XdsRefusalError: a value is not a literal or a list of literals, or there are too many.
        """
        groups: dict[str, tuple[Group, ...]] = {}
        count = 0
        for name, texts in slots:
            values = tuple(value for text in texts for value in _literals(name, text))
            count += len(values)
            if count > _MOST_VALUES:
                raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, name, f"{_MOST_VALUES} values")
            if values:
                groups[name] = (*groups.get(name, ()), values)
        return cls(groups)

    def required(self, name: str) -> str:
        """Return the single value of a parameter that must be there.

        Raises:
            XdsRefusalError: missing, or more than one value.
        """
        value = self.single(name)
        if value is None:
            raise XdsRefusalError(ErrorCode.STORED_QUERY_MISSING_PARAM, name)
        return value

    def single(self, name: str) -> str | None:
        """Return the value of a parameter that takes one, or None.

        Raises:
            XdsRefusalError: more than one value.
        """
        values = self.all(name)
        if len(values) > 1:
            raise XdsRefusalError(ErrorCode.STORED_QUERY_PARAM_NUMBER, name, "one value")
        return values[0] if values else None

    def all(self, name: str) -> Group:
        """Return every value of a parameter, whatever slot it came in."""
        return tuple(value for group in self.groups.get(name, ()) for value in group)

    def several(self, name: str) -> Group:
        """Return the values of a parameter that must have at least one.

        Raises:
            XdsRefusalError: missing.
        """
        values = self.all(name)
        if not values:
            raise XdsRefusalError(ErrorCode.STORED_QUERY_MISSING_PARAM, name)
        return values

    def one_of(self, *names: str) -> tuple[str, Group]:
        """Return the name and the values of whichever of several parameters is given.

        Raises:
            XdsRefusalError: none of them, or two (3.18.4.1.2.3.7.5).
        """
        given = [name for name in names if self.all(name)]
        if len(given) > 1:
            raise XdsRefusalError(
                ErrorCode.STORED_QUERY_PARAM_NUMBER, ", ".join(given), "one of them"
            )
        if not given:
            raise XdsRefusalError(ErrorCode.STORED_QUERY_MISSING_PARAM, " | ".join(names))
        return given[0], self.all(given[0])


Match = Callable[[Parameters, str], Callable[[DocumentEntry], bool]]
"""Makes the test for one parameter; called only when the parameter is given."""


def _coded(codes_of: Callable[[DocumentEntry], Sequence[Code]]) -> Match:
    """Codes `code^^scheme`: any of a slot, and all of repeated slots."""

    def make(parameters: Parameters, name: str) -> Callable[[DocumentEntry], bool]:
        groups = [code_keys(name, group) for group in parameters.groups[name]]

        def test(entry: DocumentEntry) -> bool:
            keys = {code.key for code in codes_of(entry)}
            return all(group & keys for group in groups)

        return test

    return make


def _since(time_of: Callable[[DocumentEntry], str]) -> Match:
    """From: inclusive. A document without that time is never excluded (3.18.4.1.2.3.7.1)."""

    def make(parameters: Parameters, name: str) -> Callable[[DocumentEntry], bool]:
        earliest = _moment(name, parameters.required(name))
        return lambda entry: not time_of(entry) or earliest <= dtm_start(time_of(entry))

    return make


def _before(time_of: Callable[[DocumentEntry], str]) -> Match:
    """To: exclusive."""

    def make(parameters: Parameters, name: str) -> Callable[[DocumentEntry], bool]:
        end = _moment(name, parameters.required(name))
        return lambda entry: not time_of(entry) or dtm_start(time_of(entry)) < end

    return make


def _author(parameters: Parameters, name: str) -> Callable[[DocumentEntry], bool]:
    patterns = [like(text) for text in parameters.all(name)]
    return lambda entry: any(
        pattern.fullmatch(author.person) for pattern in patterns for author in entry.authors
    )


def _reference(parameters: Parameters, name: str) -> Callable[[DocumentEntry], bool]:
    groups = [frozenset(group) for group in parameters.groups[name]]

    def test(entry: DocumentEntry) -> bool:
        present = {reference.cxi for reference in entry.reference_ids}
        return all(group & present for group in groups)

    return test


DOCUMENT_FILTERS: Mapping[str, Match] = {
    "$XDSDocumentEntryClassCode": _coded(lambda entry: (entry.class_code,)),
    "$XDSDocumentEntryTypeCode": _coded(lambda entry: (entry.type_code,)),
    "$XDSDocumentEntryPracticeSettingCode": _coded(lambda entry: (entry.practice_setting_code,)),
    "$XDSDocumentEntryHealthcareFacilityTypeCode": _coded(
        lambda entry: (entry.healthcare_facility_type_code,)
    ),
    "$XDSDocumentEntryFormatCode": _coded(lambda entry: (entry.format_code,)),
    "$XDSDocumentEntryEventCodeList": _coded(lambda entry: entry.event_codes),
    "$XDSDocumentEntryConfidentialityCode": _coded(lambda entry: entry.confidentiality_codes),
    "$XDSDocumentEntryCreationTimeFrom": _since(lambda entry: entry.creation_time),
    "$XDSDocumentEntryCreationTimeTo": _before(lambda entry: entry.creation_time),
    "$XDSDocumentEntryServiceStartTimeFrom": _since(lambda entry: entry.service_start_time),
    "$XDSDocumentEntryServiceStartTimeTo": _before(lambda entry: entry.service_start_time),
    "$XDSDocumentEntryServiceStopTimeFrom": _since(lambda entry: entry.service_stop_time),
    "$XDSDocumentEntryServiceStopTimeTo": _before(lambda entry: entry.service_stop_time),
    "$XDSDocumentEntryAuthorPerson": _author,
    "$XDSDocumentEntryReferenceIdList": _reference,
}


FIND_DOCUMENTS_FILTERS = frozenset(DOCUMENT_FILTERS) - {"$XDSDocumentEntryReferenceIdList"}
GET_ALL_FILTERS = frozenset({"$XDSDocumentEntryFormatCode", "$XDSDocumentEntryConfidentialityCode"})
CONTENTS_FILTERS = GET_ALL_FILTERS
REFERENCE_FILTERS = frozenset(DOCUMENT_FILTERS)


def document_filter(
    parameters: Parameters, names: Collection[str] = FIND_DOCUMENTS_FILTERS
) -> Callable[[DocumentEntry], bool]:
    """Return the test that the given parameters among `names` make together.

    Parameters that a query does not have are not looked at (3.18.4.1.2.3.5).

    Raises:
        XdsRefusalError: a code lacks its scheme, a time is not a DTM, or is given twice.
    """
    tests = [
        DOCUMENT_FILTERS[name](parameters, name) for name in parameters.groups if name in names
    ]
    return (lambda entry: all(test(entry) for test in tests)) if tests else lambda _entry: True


def submission_set_filter(parameters: Parameters) -> Callable[[SubmissionSet], bool]:
    """Return the test of FindSubmissionSets (3.18.4.1.2.3.7.2).

    Raises:
        XdsRefusalError: a time is not a DTM, a code lacks its scheme, or a value is repeated.
    """
    sources = parameters.all("$XDSSubmissionSetSourceId")
    kind = "$XDSSubmissionSetContentType"
    codes = code_keys(kind, parameters.all(kind))
    author = parameters.single("$XDSSubmissionSetAuthorPerson")
    pattern = like(author) if author is not None else None
    start, end = (
        moment_of(parameters, f"$XDSSubmissionSetSubmissionTime{name}") for name in ("From", "To")
    )

    def test(item: SubmissionSet) -> bool:
        moment = dtm_start(item.submission_time)
        return (
            (not sources or item.source_id in sources)
            and (not codes or item.content_type_code.key in codes)
            and (not start or start <= moment)
            and (not end or moment < end)
            and (pattern is None or any(pattern.fullmatch(a.person) for a in item.authors))
        )

    return test


def folder_filter(parameters: Parameters) -> Callable[[Folder], bool]:
    """Return the test of FindFolders (3.18.4.1.2.3.7.3).

    Raises:
        XdsRefusalError: a time is not a DTM or is repeated, or a code lacks its scheme.
    """
    codes = "$XDSFolderCodeList"
    groups = [code_keys(codes, group) for group in parameters.groups.get(codes, ())]
    start, end = (
        moment_of(parameters, f"$XDSFolderLastUpdateTime{name}") for name in ("From", "To")
    )

    def test(folder: Folder) -> bool:
        keys = {code.key for code in folder.codes}
        moment = dtm_start(folder.last_update_time)
        return (
            all(group & keys for group in groups)
            and (not start or start <= moment)
            and (not end or moment < end)
        )

    return test


def moment_of(parameters: Parameters, name: str) -> str:
    """Return the first second of the time given as `name`, or empty.

    Raises:
        XdsRefusalError: not a DTM, or more than one.
    """
    return _moment(name, parameters.required(name)) if name in parameters.groups else ""


def code_keys(name: str, group: Group) -> frozenset[str]:
    """Return the codes `code^^scheme` of one slot.

    Raises:
        XdsRefusalError: a code lacks its scheme.
    """
    return frozenset(_code_key(name, text) for text in group)


def like(pattern: str) -> re.Pattern[str]:
    """Return a stored query's pattern (`%` any text, `_` one character) as a regular expression.

    What stands between two `%` is matched at its first place and never given back (atomic groups),
    so that no pattern, however long, costs more than its length times the text's.
    """
    first, *rest = pattern.split("%")
    middle = "".join(f"(?>.*?{_fixed(part)})" for part in rest[:-1] if part)
    last = f".*{_fixed(rest[-1])}" if rest else ""
    return re.compile(_fixed(first) + middle + last, re.DOTALL)


def _fixed(text: str) -> str:
    return "".join("." if letter == "_" else re.escape(letter) for letter in text)


def _moment(name: str, text: str) -> str:
    try:
        return dtm_start(text)
    except MetadataValueError as error:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, name, error.allowed) from error


def _code_key(name: str, text: str) -> str:
    parts = text.split("^")
    if len(parts) != 3 or parts[1] or not parts[0] or not parts[2]:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, name, "'code^^codingScheme'")
    return text


def _literals(name: str, text: str) -> list[str]:
    """Return the values of `'a'`, `('a','b')` or a bare number; a doubled quote is one quote."""
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
    values: list[str] = []
    position = 0
    while position < len(inner):
        found = _LITERAL.match(inner, position)
        if found is None or (found.group(3) == "," and found.end() == len(inner)):
            raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, name, "('value','value') or 'value'")
        quoted, bare = found.group(1), found.group(2)
        values.append(quoted.replace("''", "'") if quoted is not None else bare)
        position = found.end()
    return values
