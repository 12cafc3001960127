"""What a site's description must look like, and the TOML file it is written in (DICOM PS3.5 6.2).

A file holds any number of `[[site]]` tables, as `config/site.example.toml` shows.
"""

import ipaddress
import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from access_control.certificates import read_fingerprint
from access_control.errors import InvalidAccountError, InvalidSiteError
from access_control.model import Site
from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority

_SITE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_AE_CHARACTER = re.compile(r"[ -\[\]-~]{1,16}")
_CHARSET = re.compile(r"[A-Za-z0-9_ .\\-]{0,128}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UID = re.compile(r"(?=.{3,64}\Z)[0-9]+(\.[0-9]+)+")
_REQUIRED = ("site_id", "name", "ae_titles", "networks", "assigning_authority")
_TEXTS = (
    "name_en",
    "institution",
    "level",
    "claimed_charset",
    "used_charset",
    "query_scope",
    "priority",
)
_LISTS = ("allowed_sop_classes", "certificate_fingerprints")
_NUMBERS = (
    "max_bytes_per_day",
    "max_instances_per_day",
    "max_bytes",
    "max_instances",
    "max_associations",
)
_KEYS = (*_REQUIRED, *_TEXTS, *_LISTS, *_NUMBERS, "tls_only")
_LARGEST_NUMBER = 2**62
_DEFAULTS = {"query_scope": "site", "priority": "normal"}
_TEXT_LENGTHS = {"name": 200, "name_en": 200, "institution": 200, "level": 64}


def load_site_file(path: Path) -> tuple[Site, ...]:
    """Return the sites described in the TOML file at `path`, every one of them checked.

    Raises:
        InvalidSiteError: the file cannot be read, or a site breaks a rule; says which and why.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as broken:
        raise InvalidSiteError(f"{path.name}: not a readable TOML file: {broken}") from broken
    described = tables.pop("site", None)
    if tables or not isinstance(described, list) or not described:
        extra = ", ".join(sorted(tables)) or "none"
        raise InvalidSiteError(
            f"{path.name}: must hold [[site]] tables and nothing else; other keys: {extra}"
        )
    return tuple(
        site_from_table(table, where=f"{path.name}, site {position}")
        for position, table in enumerate(described, start=1)
    )


def site_from_table(table: Any, *, where: str) -> Site:
    """Return the site that one `[[site]]` table describes; `where` begins every error message.

    Raises:
        InvalidSiteError: a key is unknown, missing or ill-typed, or a value breaks a rule.
    """
    if not isinstance(table, dict):
        raise InvalidSiteError(f"{where}: must be a [[site]] table")
    _check_keys(table, _REQUIRED, _KEYS, where)
    given: dict[str, Any] = {key: _text(table, key, where) for key in ("site_id", "name", *_TEXTS)}
    given |= {key: _texts(table, key, where) for key in _LISTS if key in table}
    given |= {key: _number(table[key], key, where) for key in _NUMBERS if key in table}
    site = Site(
        **given,
        tls_only=_flag(table, "tls_only", where),
        ae_titles=_texts(table, "ae_titles", where),
        networks=_texts(table, "networks", where),
        assigning_authority=_authority(table["assigning_authority"], where),
    )
    try:
        return checked_site(site)
    except InvalidSiteError as broken:
        raise InvalidSiteError(f"{where}: {broken}") from broken


def checked_site(site: Site) -> Site:
    """Return `site` in its one stored form: AE titles without padding, networks normalised.

    Raises:
        InvalidSiteError: names the field and what is allowed in it.
    """
    if not _SITE_ID.fullmatch(site.site_id):
        raise InvalidSiteError(
            "site_id: 1 to 64 of a-z, 0-9, _ and -, beginning with one of a-z0-9"
        )
    for name, holds, allowed in _RULES:
        if not holds(site):
            raise InvalidSiteError(f"site {site.site_id}: {name}: {allowed}")
    return Site(
        **{
            **vars(site),
            "ae_titles": tuple(_checked_ae_title(site, title) for title in site.ae_titles),
            "networks": tuple(_checked_network(site, network) for network in site.networks),
            "allowed_sop_classes": tuple(sorted(set(site.allowed_sop_classes))),
            "certificate_fingerprints": tuple(
                _checked_fingerprint(site, text) for text in site.certificate_fingerprints
            ),
        }
    )


def _plain(text: str, longest: int) -> bool:
    """True for text without control, format or line separating characters."""
    return len(text) <= longest and not any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text
    )


def _unique(values: tuple[str, ...]) -> bool:
    stripped = [value.strip() for value in values]
    return bool(stripped) and len(set(stripped)) == len(stripped)


_RULES: tuple[tuple[str, Callable[[Site], bool], str], ...] = (
    ("name", lambda site: bool(site.name.strip()), "must not be empty"),
    *(
        (
            field,
            lambda site, field=field, longest=longest: _plain(getattr(site, field), longest),
            f"at most {longest} characters, no control characters",
        )
        for field, longest in _TEXT_LENGTHS.items()
    ),
    ("ae_titles", lambda site: _unique(site.ae_titles), "at least one, none of them twice"),
    ("networks", lambda site: _unique(site.networks), "at least one, none of them twice"),
    (
        "assigning_authority.namespace",
        lambda site: bool(_NAMESPACE.fullmatch(site.assigning_authority.namespace)),
        "1 to 64 of A-Z, a-z, 0-9, _ . and -",
    ),
    *(
        (
            field,
            lambda site, field=field: bool(_CHARSET.fullmatch(getattr(site, field))),
            "a Specific Character Set value as in DICOM PS3.3 C.12.1.1.2, or empty",
        )
        for field in ("claimed_charset", "used_charset")
    ),
    (
        "query_scope",
        lambda site: site.query_scope in {"site", "region"},
        'must be "site" or "region"',
    ),
    ("priority", lambda site: site.priority in {"normal", "high"}, 'must be "normal" or "high"'),
    (
        "allowed_sop_classes",
        lambda site: all(_UID.fullmatch(uid) for uid in site.allowed_sop_classes),
        "SOP Class UIDs, as 1.2.840.10008.5.1.4.1.1.2",
    ),
    *(
        (
            field,
            lambda site, field=field: 0 <= getattr(site, field) <= _LARGEST_NUMBER,
            "0 for no limit, or a number above it",
        )
        for field in _NUMBERS
    ),
)


def _checked_ae_title(site: Site, ae_title: str) -> str:
    """An AE is 1 to 16 characters of the default repertoire, no backslash, no control (PS3.5 6.2).

    Leading and trailing spaces do not count, a title of spaces alone is none.
    """
    stripped = ae_title.strip(" ")
    if not stripped or not _AE_CHARACTER.fullmatch(stripped):
        raise InvalidSiteError(
            f"site {site.site_id}: ae_titles: {ascii(ae_title[:40])} is not an AE title: "
            "1 to 16 ASCII characters, no backslash, no control characters"
        )
    return stripped


def _checked_network(site: Site, network: str) -> str:
    """A network in CIDR, or one address; host bits must be zero, lest a typo widens the door."""
    try:
        return str(ipaddress.ip_network(network.strip(), strict=True))
    except ValueError as broken:
        raise InvalidSiteError(
            f"site {site.site_id}: networks: {ascii(network[:60])} is not a network as 10.1.2.0/24 "
            "or fd00:12::/64 (the bits behind the prefix must be zero)"
        ) from broken


def _check_keys(
    table: dict[str, Any], required: tuple[str, ...], allowed: tuple[str, ...], where: str
) -> None:
    unknown = sorted(set(table) - set(allowed))
    if unknown:
        raise InvalidSiteError(
            f"{where}: unknown key {ascii(unknown[0])}; allowed: {', '.join(allowed)}"
        )
    missing = [key for key in required if key not in table]
    if missing:
        raise InvalidSiteError(f"{where}: {missing[0]} is missing")


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table.get(key, _DEFAULTS.get(key, ""))
    if not isinstance(value, str):
        raise InvalidSiteError(f"{where}: {key} must be a text")
    return value


def _texts(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = table[key]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidSiteError(f"{where}: {key} must be a list of texts")
    return tuple(values)


def _number(value: Any, key: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidSiteError(f"{where}: {key} must be a whole number")
    return value


def _flag(table: dict[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise InvalidSiteError(f"{where}: {key} must be true or false")
    return value


def _checked_fingerprint(site: Site, text: str) -> str:
    try:
        return read_fingerprint(text)
    except InvalidAccountError as broken:
        raise InvalidSiteError(f"site {site.site_id}: certificate_fingerprints: {broken}") from None


def _authority(table: Any, where: str) -> AssigningAuthority:
    where = f"{where}: assigning_authority"
    if not isinstance(table, dict):
        raise InvalidSiteError(f'{where} must be a table {{ namespace = "…", oid = "1.2.3" }}')
    _check_keys(table, ("namespace", "oid"), ("namespace", "oid"), where)
    namespace, oid = (_text(table, key, where) for key in ("namespace", "oid"))
    try:
        return AssigningAuthority(namespace, oid)
    except InvalidValueError as broken:
        raise InvalidSiteError(f"{where}: {broken}") from broken
