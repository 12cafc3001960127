"""The affinity domain: the codes a region agreed on (ITI TF-3 4.2.3.1).

Read from the hub's own TOML form, or from a `codes.xml` as the XDS toolkit has it: the name of the
file decides. What the hub itself registers manifests with is always allowed.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xds_registry.codes import CodeLists, CodeType, by_key
from xds_registry.codes_xml import CodesXml, CodesXmlError, read_codes_xml
from xds_registry.errors import AffinityDomainError
from xds_registry.model import Code

MANIFEST_FORMAT = Code(
    "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.2.6.1", "Key Object Selection Document"
)
MANIFEST_MEDIA_TYPE = "application/dicom"
REPORT_MEDIA_TYPES = ("text/xml", "application/pdf", "application/dicom")
_DCM = "1.2.840.10008.2.16.4"
_SNOMED = "2.16.840.1.113883.6.96"
_HOSPITAL = Code("22232009", _SNOMED, "Hospital")
_AMBULATORY = Code("35971002", _SNOMED, "Ambulatory care site")
_HOSPITAL_LEVELS = ("centre", "hospital", "county", "district")
_STUDY = Code("18748-4", "2.16.840.1.113883.6.1", "Diagnostic imaging study")


@dataclass(frozen=True)
class ManifestCodes:
    """What every manifest is registered as."""

    class_code: Code
    type_code: Code
    practice_setting_code: Code
    confidentiality_code: Code
    content_type_code: Code


_MANIFEST = ManifestCodes(
    class_code=Code("IMAGES", "1.3.6.1.4.1.19376.1.2.6.1", "Images"),
    type_code=_STUDY,
    practice_setting_code=Code("309964003", _SNOMED, "Radiology department (environment)"),
    confidentiality_code=Code("N", "2.16.840.1.113883.5.25", "normal"),
    content_type_code=_STUDY,
)


@dataclass(frozen=True)
class ReportCodes:
    """What the signed reports of studies are registered as.

    `text_format` and `pdf_format` are for CDA and PDF; a DICOM document has its SOP class instead.
    """

    class_code: Code
    type_code: Code
    confidentiality_code: Code
    content_type_code: Code
    text_format: Code
    pdf_format: Code
    types_by_modality: Mapping[str, Code]

    def type_of(self, modalities: Iterable[str]) -> Code:
        """Return the typeCode of a report on a study of these modalities."""
        known = (self.types_by_modality.get(one) for one in modalities)
        return next((code for code in known if code is not None), self.type_code)


_FORMATS = "1.3.6.1.4.1.19376.1.2.3"
_REPORT = ReportCodes(
    class_code=Code("REPORTS", "1.3.6.1.4.1.19376.1.2.6.1", "Reports"),
    type_code=_STUDY,
    confidentiality_code=_MANIFEST.confidentiality_code,
    content_type_code=_STUDY,
    text_format=Code("urn:ihe:rad:TEXT", _FORMATS, "XDS-I CDA Wrapped Text Report"),
    pdf_format=Code("urn:ihe:rad:PDF", _FORMATS, "XDS-I PDF"),
    types_by_modality={},
)


@dataclass(frozen=True)
class AffinityDomain:
    """The region's codes. `zone` is the offset of the sites' clocks; `lists` is what is allowed."""

    name: str
    version: str
    zone: timezone
    language_code: str
    manifest: ManifestCodes
    default_facility_type: Code
    facility_types: Mapping[str, Code]
    modality_scheme: str
    modality_displays: Mapping[str, str]
    body_parts: Mapping[str, Code]
    lists: CodeLists
    report: ReportCodes = _REPORT

    def facility_type(self, level: str) -> Code:
        """Return the healthcareFacilityTypeCode of a site of that level."""
        return self.facility_types.get(level, self.default_facility_type)

    def modality(self, modality: str) -> Code:
        """Return the code of a DICOM modality (CID 29); an unknown one stands for itself."""
        return Code(modality, self.modality_scheme, self.modality_displays.get(modality, modality))

    def body_part(self, body_part_examined: str) -> Code | None:
        """Return the anatomic region of a Body Part Examined, or None where it has no code."""
        return self.body_parts.get(_letters(body_part_examined))

    def localize(self, moment: datetime) -> datetime:
        """Return `moment` as the sites' clocks show it."""
        return moment.astimezone(self.zone)


def load_affinity_domain(path: Path) -> AffinityDomain:
    """Read the affinity domain from a TOML file, or from a `codes.xml`.

    Raises:
        AffinityDomainError: unreadable, not of its format, a key is missing, unknown or ill-typed,
            a code is doubled, or an attribute has no codes at all; all of these are named.
    """
    try:
        if path.suffix.lower() == ".xml":
            domain = domain_of(read_codes_xml(path.read_bytes()))
        else:
            domain = _domain(_File.model_validate(tomllib.loads(path.read_text("utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise AffinityDomainError(f"affinity domain {path}: cannot be read") from error
    except CodesXmlError as error:
        raise AffinityDomainError(f"affinity domain {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise AffinityDomainError(f"affinity domain {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise AffinityDomainError(f"affinity domain {path}: {key}: {first['msg']}") from error
    return domain


def domain_of(read: CodesXml) -> AffinityDomain:
    """Return the domain that a `codes.xml` means.

    It says nothing about manifests, clocks and body parts: those are the hub's usual ones, with
    modalities and anatomic regions by the names it gives them.
    """
    _require_complete(read.lists)
    events = read.lists.codes[CodeType.EVENT].values()
    modalities = {one.code: one.display for one in events if one.scheme == _DCM}
    regions = {_letters(one.display): one for one in events if one.scheme != _DCM}
    domain = AffinityDomain(
        name="codes.xml",
        version=read.version,
        zone=timezone(timedelta(hours=8)),
        language_code="zh-CN",
        manifest=_MANIFEST,
        default_facility_type=_AMBULATORY,
        facility_types=dict.fromkeys(_HOSPITAL_LEVELS, _HOSPITAL),
        modality_scheme=_DCM,
        modality_displays=modalities,
        body_parts=regions,
        lists=read.lists,
    )
    return replace(domain, lists=_with_own_codes(domain))


def _require_complete(lists: CodeLists, filled: frozenset[str] = frozenset()) -> None:
    """Refuse a domain that leaves an attribute without codes; `filled` ones have others."""
    missing = [name for name in lists.missing() if name not in filled]
    if missing:
        raise CodesXmlError(f"no codes for {', '.join(missing)}")


def _with_own_codes(domain: AffinityDomain) -> CodeLists:
    """Return the lists with what the hub's own documents carry."""
    manifest, report = domain.manifest, domain.report
    modalities = [domain.modality(name) for name in domain.modality_displays]
    own: dict[CodeType, list[Code]] = {
        CodeType.CLASS: [manifest.class_code, report.class_code],
        CodeType.TYPE: [
            manifest.type_code,
            report.type_code,
            *report.types_by_modality.values(),
        ],
        CodeType.PRACTICE_SETTING: [manifest.practice_setting_code],
        CodeType.CONFIDENTIALITY: [manifest.confidentiality_code, report.confidentiality_code],
        CodeType.CONTENT_TYPE: [manifest.content_type_code, report.content_type_code],
        CodeType.FORMAT: [MANIFEST_FORMAT, report.text_format, report.pdf_format],
        CodeType.FACILITY_TYPE: [domain.default_facility_type, *domain.facility_types.values()],
        CodeType.EVENT: [*modalities, *domain.body_parts.values()],
    }
    codes = {
        kind: by_key([*domain.lists.codes.get(kind, {}).values(), *own.get(kind, [])])
        for kind in CodeType
    }
    return CodeLists(codes, domain.lists.mime_types | {MANIFEST_MEDIA_TYPE, *REPORT_MEDIA_TYPES})


def _letters(text: str) -> str:
    return re.sub(r"[^A-Z]", "", text.upper())


_Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Code(_Table):
    code: _Text
    scheme: _Text
    display: _Text

    def value(self) -> Code:
        return Code(self.code, self.scheme, self.display)


class _Manifest(_Table):
    class_code: _Code
    type_code: _Code
    practice_setting_code: _Code
    confidentiality_code: _Code
    content_type_code: _Code


class _Report(_Table):
    class_code: _Code
    type_code: _Code
    confidentiality_code: _Code
    content_type_code: _Code
    text_format: _Code
    pdf_format: _Code
    types_by_modality: dict[str, _Code] = {}

    def value(self) -> ReportCodes:
        return ReportCodes(
            class_code=self.class_code.value(),
            type_code=self.type_code.value(),
            confidentiality_code=self.confidentiality_code.value(),
            content_type_code=self.content_type_code.value(),
            text_format=self.text_format.value(),
            pdf_format=self.pdf_format.value(),
            types_by_modality={k: code.value() for k, code in self.types_by_modality.items()},
        )


class _FacilityTypes(_Table):
    default: _Code
    by_level: dict[str, _Code] = {}


class _Modalities(_Table):
    scheme: _Text
    displays: dict[str, _Text] = {}


class _BodyPart(_Table):
    code: _Text
    display: _Text


class _BodyParts(_Table):
    scheme: _Text
    codes: dict[str, _BodyPart] = {}


class _MediaTypes(_Table):
    allowed: list[Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")]]


class _File(_Table):
    name: _Text
    version: _Text
    utc_offset: Annotated[str, Field(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")]
    language_code: _Text
    manifest: _Manifest
    report: _Report | None = None
    facility_types: _FacilityTypes
    modalities: _Modalities
    body_parts: _BodyParts
    media_types: _MediaTypes
    code_lists: dict[CodeType, dict[_Text, dict[_Text, _Text]]]


def _domain(read: _File) -> AffinityDomain:
    scheme = read.body_parts.scheme
    manifest = read.manifest
    lists = CodeLists(
        {kind: by_key(_codes(schemes)) for kind, schemes in read.code_lists.items()},
        frozenset(read.media_types.allowed),
    )
    _require_complete(lists, frozenset({CodeType.EVENT, CodeType.FACILITY_TYPE}))
    domain = AffinityDomain(
        name=read.name,
        version=read.version,
        zone=_zone(read.utc_offset),
        language_code=read.language_code,
        manifest=ManifestCodes(
            class_code=manifest.class_code.value(),
            type_code=manifest.type_code.value(),
            practice_setting_code=manifest.practice_setting_code.value(),
            confidentiality_code=manifest.confidentiality_code.value(),
            content_type_code=manifest.content_type_code.value(),
        ),
        default_facility_type=read.facility_types.default.value(),
        facility_types={k: code.value() for k, code in read.facility_types.by_level.items()},
        modality_scheme=read.modalities.scheme,
        modality_displays=read.modalities.displays,
        body_parts={
            name: Code(part.code, scheme, part.display)
            for name, part in read.body_parts.codes.items()
        },
        lists=lists,
        report=read.report.value() if read.report else _REPORT,
    )
    return replace(domain, lists=_with_own_codes(domain))


def _codes(schemes: Mapping[str, Mapping[str, str]]) -> Iterator[Code]:
    """Yield the codes of one attribute; TOML itself refuses one that comes twice."""
    for scheme, displays in schemes.items():
        for code, display in displays.items():
            yield Code(code, scheme, display)


def _zone(offset: str) -> timezone:
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if offset[0] == "-" else span)
