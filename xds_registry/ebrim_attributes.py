"""Read the attributes of one ebRIM object by the names of the model (ITI TF-3 4.2.3.2 to 4.2.3.4).

A single-valued attribute that comes twice, a time that is no DTM, a code without its scheme: each
is noted as a fault with its place, and the attribute then reads as if it were missing.
"""

import re
from collections.abc import Collection, Iterator

from xds_registry.ebrim_names import (
    ASSOCIATION_CODES,
    ASSOCIATION_SLOTS,
    AUTHOR_SLOTS,
    ENTRY_CODES,
    ENTRY_IDENTIFIERS,
    ENTRY_SLOTS,
    FOLDER_CODES,
    FOLDER_IDENTIFIERS,
    FOLDER_SLOTS,
    SET_CODES,
    SET_IDENTIFIERS,
    SET_SLOTS,
    Names,
    classification_step,
    identifier_step,
    place_of,
    slot_step,
)
from xds_registry.ebrim_parts import Classified, Faults, Part
from xds_registry.errors import ErrorText, MetadataValueError
from xds_registry.model import (
    NO_CODE,
    UNTOLD_SIZE,
    Author,
    Code,
    DocumentEntry,
    ExtraSlot,
    Folder,
    LocalText,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
    dtm_start,
)

ONE_VALUE = ErrorText("this attribute has one value", "该属性只能有一个值")
CODE_SHAPE = ErrorText(
    "a code has a nodeRepresentation, one codingScheme slot and a Name",
    "编码必须有 nodeRepresentation、一个 codingScheme 槽和 Name",
)
AUTHOR_SHAPE = ErrorText(
    "an author has at most one authorPerson and only the author slots of the profile",
    "作者至多一个 authorPerson，且只能使用规范规定的作者槽",
)
TIME = ErrorText("a time is a DTM in UTC", "时间必须为 UTC 的 DTM 格式")
NUMBER = ErrorText("the size is a whole number of bytes", "大小必须为字节数（非负整数）")
YES_NO = ErrorText("the value is yes or no", "值必须为 yes 或 no")
UNKNOWN_SCHEME = ErrorText(
    "this object has no attribute with that scheme", "该对象没有使用该分类方案的属性"
)
_NUMBER = re.compile(r"\d{1,18}")
_VERSION = re.compile(r"[1-9]\d{0,8}")
_PREFERRED = ("zh", "en", "")
_SLOTS: dict[type[RegistryObject], Names] = {
    DocumentEntry: ENTRY_SLOTS,
    SubmissionSet: SET_SLOTS,
    Folder: FOLDER_SLOTS,
    XdsAssociation: ASSOCIATION_SLOTS,
}
_CODES: dict[type[RegistryObject], Names] = {
    DocumentEntry: ENTRY_CODES,
    SubmissionSet: SET_CODES,
    Folder: FOLDER_CODES,
    XdsAssociation: ASSOCIATION_CODES,
}
_IDENTIFIERS: dict[type[RegistryObject], Names] = {
    DocumentEntry: ENTRY_IDENTIFIERS,
    SubmissionSet: SET_IDENTIFIERS,
    Folder: FOLDER_IDENTIFIERS,
    XdsAssociation: {},
}


class PartReader:
    """Reads one object as the kind of model object it is."""

    def __init__(self, part: Part, kind: type[RegistryObject], faults: Faults) -> None:
        self.part = part
        self._kind = kind
        self._faults = faults

    def slots(self, attribute: str) -> tuple[str, ...]:
        """Return the values of an attribute that may have several."""
        return self.part.slots.get(_SLOTS[self._kind][attribute], ())

    def slot(self, attribute: str) -> str:
        """Return the value of an attribute that may have one, or empty."""
        return self._one(attribute, self.slots(attribute))

    def time(self, attribute: str) -> str:
        """Return a DTM, or empty."""
        text = self.slot(attribute)
        try:
            return text if not text or dtm_start(text) else ""
        except MetadataValueError as error:
            self._fault(attribute, TIME, error.allowed, text)
            return ""

    def size(self) -> int:
        """Return the number of bytes; 0 where neither it nor a hash is given.

        UNTOLD_SIZE where there is a hash without it: also the hash of nothing needs its size of 0.
        """
        text = self.slot("size")
        if text and not _NUMBER.fullmatch(text):
            self._fault("size", NUMBER, "0..999999999999999999", text)
        if not text and self.slot("sha1"):
            return UNTOLD_SIZE
        return int(text) if _NUMBER.fullmatch(text) else 0

    def uri(self) -> str:
        """Return the URI; one cut into numbered pieces, as older sources do, is put together."""
        values = self.slots("uri")
        if len(values) > 1 and all(re.match(r"\d+\|", value) for value in values):
            pieces = sorted((value.partition("|") for value in values), key=lambda p: int(p[0]))
            return "".join(piece[2] for piece in pieces)
        return self._one("uri", values)

    def yes_or_no(self, attribute: str) -> bool:
        """Return what a slot of yes or no says; yes where it is missing."""
        text = self.slot(attribute).lower()
        if text not in {"", "yes", "no"}:
            self._fault(attribute, YES_NO, "yes | no", text)
        return text != "no"

    def version(self) -> int:
        """Return the version that VersionInfo names, or 1."""
        found = self.part.element.find("{*}VersionInfo")
        text = "1" if found is None else found.get("versionName", "1").strip()
        if not _VERSION.fullmatch(text):
            self._fault("version", NUMBER, "1, 2, …", text)
            return 1
        return int(text)

    def identifier(self, attribute: str) -> str:
        """Return the value of an external identifier, or empty."""
        scheme = _IDENTIFIERS[self._kind][attribute]
        return self._one(
            attribute, tuple(value for one, value in self.part.identifiers if one == scheme)
        )

    def codes(self, attribute: str) -> tuple[Code, ...]:
        """Return the codes of an attribute that may have several."""
        scheme = _CODES[self._kind][attribute]
        return tuple(
            self._code(attribute, one) for one in self.part.classifications if one.scheme == scheme
        )

    def code(self, attribute: str) -> Code:
        """Return the code of an attribute that may have one, or `NO_CODE`."""
        found = self.codes(attribute)
        if len(found) > 1:
            self._fault(attribute, ONE_VALUE, "1", str(len(found)))
        return found[0] if found else NO_CODE

    def authors(self, scheme: str) -> tuple[Author, ...]:
        """Return the authors, each a classification of its own."""
        return tuple(self._author(one) for one in self.part.classifications if one.scheme == scheme)

    def extra_slots(self, known: Names) -> tuple[ExtraSlot, ...]:
        """Return the slots that are no attribute of the profile, as they came."""
        names = set(known.values())
        return tuple(
            (name, values) for name, values in self.part.slots.items() if name and name not in names
        )

    def fitting(self, texts: tuple[LocalText, ...]) -> str:
        """Return the text in the language that fits best."""
        for language in _PREFERRED:
            for one in texts:
                if one.language.lower().startswith(language):
                    return one.text
        return ""

    def local(self, texts: tuple[LocalText, ...]) -> tuple[LocalText, ...]:
        """Return all texts where one alone would lose a language."""
        return texts if len(texts) > 1 or any(one.language for one in texts) else ()

    def refuse_others(
        self, schemes: Collection[str], nodes: Collection[str], identifiers: Names
    ) -> None:
        """Note every classification and identifier that would otherwise be lost in silence."""
        place = place_of(self._kind, self.part.object_id)
        for one in self.part.classifications:
            if one.node not in nodes if one.node else one.scheme not in schemes:
                came = one.node or one.scheme
                where = place + classification_step(came)
                self._faults.add((self.part.object_id, came), where, UNKNOWN_SCHEME, came=came)
        for scheme, _ in self.part.identifiers:
            if scheme not in identifiers.values():
                where = place + identifier_step(scheme)
                self._faults.add((self.part.object_id, scheme), where, UNKNOWN_SCHEME, came=scheme)

    def _one(self, attribute: str, values: tuple[str, ...]) -> str:
        if len(values) > 1:
            self._fault(attribute, ONE_VALUE, "1", str(len(values)))
        return values[0] if values else ""

    def _code(self, attribute: str, one: Classified) -> Code:
        scheme = one.slots.get("codingScheme", ())
        if not one.representation or len(scheme) != 1 or len(one.slots) != 1 or not one.names:
            self._fault(attribute, CODE_SHAPE, came=one.representation)
        return Code(one.representation, scheme[0] if scheme else "", self.fitting(one.names))

    def _author(self, one: Classified) -> Author:
        values = {name: one.slots.get(slot, ()) for name, slot in AUTHOR_SLOTS.items()}
        unknown = set(one.slots) - set(AUTHOR_SLOTS.values())
        for name in _misused(unknown, values["person"]):
            place = place_of(self._kind, self.part.object_id, "authors") + slot_step(name)
            self._faults.add((self.part.object_id, "authors"), place, AUTHOR_SHAPE, came=name)
        return Author(
            person=values["person"][0] if values["person"] else "",
            institutions=values["institutions"],
            roles=values["roles"],
            specialties=values["specialties"],
            telecommunications=values["telecommunications"],
        )

    def _fault(self, attribute: str, rule: ErrorText, allowed: str = "", came: str = "") -> None:
        place = place_of(self._kind, self.part.object_id, attribute)
        self._faults.add((self.part.object_id, attribute), place, rule, allowed, came)


def _misused(unknown: Collection[str], persons: tuple[str, ...]) -> Iterator[str]:
    yield from sorted(unknown)
    if len(persons) > 1:
        yield AUTHOR_SLOTS["person"]
