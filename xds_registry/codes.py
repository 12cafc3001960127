"""The kinds of codes a document carries, and what a region allows for each (ITI TF-3 4.2.3.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from xds_registry.model import Code

_SHOWN = 8


class CodeType(StrEnum):
    """Every coded attribute that an affinity domain decides about."""

    CLASS = "classCode"
    TYPE = "typeCode"
    FORMAT = "formatCode"
    PRACTICE_SETTING = "practiceSettingCode"
    FACILITY_TYPE = "healthcareFacilityTypeCode"
    CONFIDENTIALITY = "confidentialityCode"
    EVENT = "eventCodeList"
    CONTENT_TYPE = "contentTypeCode"
    FOLDER = "folderCodeList"
    ASSOCIATION_DOCUMENTATION = "associationDocumentation"


@dataclass(frozen=True)
class CodeLists:
    """The codes of every type by their `code^^scheme`, and the media types of documents."""

    codes: Mapping[CodeType, Mapping[str, Code]]
    mime_types: frozenset[str]

    def allows(self, code_type: CodeType, code: Code) -> bool:
        """Tell whether the region uses this code for that attribute."""
        return code.key in self.codes[code_type]

    def shown(self, code_type: CodeType) -> str:
        """Return the first codes of a list, for people who sent another one."""
        return _some(sorted(self.codes[code_type]))

    def shown_mime_types(self) -> str:
        """Return the first media types, for people who sent another one."""
        return _some(sorted(self.mime_types))

    def missing(self) -> list[str]:
        """Return the names of the lists without an entry."""
        empty = [str(one) for one in CodeType if not self.codes.get(one)]
        return [*empty, *([] if self.mime_types else ["mimeType"])]


def by_key(codes: Iterable[Code]) -> dict[str, Code]:
    """Return codes by their `code^^scheme`; the first of a doubled one stays."""
    found: dict[str, Code] = {}
    for code in codes:
        found.setdefault(code.key, code)
    return found


def doubled(codes: Iterable[Code]) -> list[str]:
    """Return which of `codes` come more than once."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for code in codes:
        if code.key in seen:
            twice[code.key] = None
        seen.add(code.key)
    return list(twice)


def _some(names: list[str]) -> str:
    more = f" | … ({len(names)})" if len(names) > _SHOWN else ""
    return " | ".join(names[:_SHOWN]) + more
