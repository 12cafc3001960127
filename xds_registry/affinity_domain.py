"""The affinity domain: the codes a region agreed on, read from its TOML file (ITI TF-3 4.2.3.1)."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xds_registry.errors import AffinityDomainError
from xds_registry.model import Code


@dataclass(frozen=True)
class ManifestCodes:
    """What every manifest is registered as."""

    class_code: Code
    type_code: Code
    practice_setting_code: Code
    confidentiality_code: Code
    content_type_code: Code


@dataclass(frozen=True)
class AffinityDomain:
    """The region's codes. `zone` is the offset of the sites' clocks."""

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

    def facility_type(self, level: str) -> Code:
        """Return the healthcareFacilityTypeCode of a site of that level."""
        return self.facility_types.get(level, self.default_facility_type)

    def modality(self, modality: str) -> Code:
        """Return the code of a DICOM modality (CID 29); an unknown one stands for itself."""
        return Code(modality, self.modality_scheme, self.modality_displays.get(modality, modality))

    def body_part(self, body_part_examined: str) -> Code | None:
        """Return the anatomic region of a Body Part Examined, or None where it has no code."""
        return self.body_parts.get(re.sub(r"[^A-Z]", "", body_part_examined.upper()))

    def localize(self, moment: datetime) -> datetime:
        """Return `moment` as the sites' clocks show it."""
        return moment.astimezone(self.zone)


def load_affinity_domain(path: Path) -> AffinityDomain:
    """Read the affinity domain from a TOML file.

    Raises:
        AffinityDomainError: unreadable, not TOML, or a key is missing, unknown or ill-typed.
    """
    try:
        return _domain(_File.model_validate(tomllib.loads(path.read_text("utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise AffinityDomainError(f"affinity domain {path}: cannot be read") from error
    except tomllib.TOMLDecodeError as error:
        raise AffinityDomainError(f"affinity domain {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise AffinityDomainError(f"affinity domain {path}: {key}: {first['msg']}") from error


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


class _File(_Table):
    name: _Text
    version: _Text
    utc_offset: Annotated[str, Field(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")]
    language_code: _Text
    manifest: _Manifest
    facility_types: _FacilityTypes
    modalities: _Modalities
    body_parts: _BodyParts


def _domain(read: _File) -> AffinityDomain:
    scheme = read.body_parts.scheme
    manifest = read.manifest
    return AffinityDomain(
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
    )


def _zone(offset: str) -> timezone:
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if offset[0] == "-" else span)
