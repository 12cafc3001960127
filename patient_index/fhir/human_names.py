"""Person names between FHIR HumanName and DICOM PN (FHIR R4 datatypes.html#HumanName, PS3.5 6.2.1).

A name in two scripts is two HumanNames of one use, told apart by the extension
iso21090-EN-representation (IDE, ABC, SYL), or, where it is absent, by their characters.
"""

import re
from collections.abc import Iterable, Sequence

from hub_kernel.fhir.outcome import Resource
from hub_kernel.person_names import PersonName, parse_person_name

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"

_CURRENT_USES = ("official", "usual", "")
_OTHER_USES = ("maiden", "old", "nickname", "anonymous")
_GROUPS = {"ABC": 0, "IDE": 1, "SYL": 2}
_DELIMITERS = re.compile(r"[\^=\\\x00-\x1f\u2028\u2029]+")
_CJK = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\U00020000-\U0003ffff〇々]"
)
_MOST_NAMES = 16


def current_name(names: Sequence[Resource]) -> PersonName:
    """Return the name in use: official before usual before unsaid; empty when there is none.

    A name for the meantime (`temp`) counts where there is no other.
    """
    for use in (*_CURRENT_USES, "temp"):
        found = [name for name in names if name.get("use", "") == use]
        if found:
            return _joined(found)
    return PersonName()


def other_names(names: Sequence[Resource]) -> tuple[PersonName, ...]:
    """Return maiden, former and other names, and those that came second to the name in use."""
    current = current_name(names)
    read = (
        _joined([name for name in names if name.get("use", "") == use])
        for use in (*_CURRENT_USES, *_OTHER_USES)
    )
    return tuple(name for name in read if name.dicom and name != current)[:_MOST_NAMES]


def name_from_text(text: str) -> PersonName:
    """Return the name that free text says, such as a mother's maiden name."""
    return _joined([{"text": text}])


def human_names(name: PersonName, use: str) -> list[Resource]:
    """Return one HumanName for each script of the name, Hanzi first; `use` may be empty."""
    groups = (("IDE", name.ideographic), ("ABC", name.alphabetic), ("SYL", name.phonetic))
    written = [
        # Hanzi that a device put into the first group are written as what they are.
        _human_name(group, "IDE" if code == "ABC" and _CJK.search(group) else code, use)
        for code, group in groups
        if group.strip("^ ")
    ]
    return written if len(written) > 1 else [_without_code(one) for one in written]


def _joined(names: Iterable[Resource]) -> PersonName:
    """Put the scripts of one name together; of each script the first one counts."""
    groups = ["", "", ""]
    for name in names:
        group = _pn_group(name)
        place = _GROUPS.get(_representation(name), 1 if _CJK.search(group) else 0)
        groups[place] = groups[place] or group
    return parse_person_name("=".join(groups).rstrip("="))


def _pn_group(name: Resource) -> str:
    family = _clean(name.get("family", ""))
    given = [_clean(one) for one in name.get("given", ()) if one]
    if not family and not given:
        return _clean(name.get("text", ""))
    first, middle = (given[0], " ".join(given[1:])) if given else ("", "")
    prefix = " ".join(_clean(one) for one in name.get("prefix", ()) if one)
    suffix = " ".join(_clean(one) for one in name.get("suffix", ()) if one)
    return "^".join((family, first, middle, prefix, suffix)).rstrip("^")


def _clean(text: str) -> str:
    return _DELIMITERS.sub(" ", text).strip()


def _representation(name: Resource) -> str:
    return next(
        (
            str(one.get("valueCode", ""))
            for one in name.get("extension", ())
            if one.get("url") == REPRESENTATION
        ),
        "",
    )


def _human_name(group: str, code: str, use: str) -> Resource:
    parts = [part.strip() for part in group.split("^")]
    family, first, middle, prefix, suffix = (*parts, "", "", "", "", "")[:5]
    glue = "" if _CJK.search(group) else " "
    ordered = (family, first, middle) if glue == "" else (prefix, first, middle, family, suffix)
    said: Resource = {
        "extension": [{"url": REPRESENTATION, "valueCode": code}],
        **({"use": use} if use else {}),
        "text": glue.join(filter(None, ordered)) or "-",
    }
    for key, value in (
        ("family", family),
        ("given", [first, middle]),
        ("prefix", [prefix]),
        ("suffix", [suffix]),
    ):
        kept = value if isinstance(value, str) else [one for one in value if one]
        if kept:
            said[key] = kept
    return said


def _without_code(name: Resource) -> Resource:
    return {key: value for key, value in name.items() if key != "extension"}
