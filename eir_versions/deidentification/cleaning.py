"""From one object's attributes to a new, de-identified set of them (DICOM PS3.15 Annex E).

The new set starts empty and takes what is allowed. What the table does not name is taken only when
its kind cannot carry a name: numbers, codes of the standard's form, a few technical texts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from eir_versions.deidentification.descriptors import cleaned_text
from eir_versions.deidentification.profile import EDITION, Action, Option, Profile
from eir_versions.deidentification.pseudonyms import ProjectKey, PseudonymousSubject
from image_archive.reading import VALUE_ERRORS

METHOD = f"EIR Hub, built from an allow-list by {EDITION} Annex E"
_PIXEL_GROUP, _OVERLAYS, _CURVES = 0x7FE0, range(0x6000, 0x6100), range(0x5000, 0x5100)
_DEEPEST = 12
_DUMMY_TEXT = "REMOVED"
_DUMMY_CODE = ("REMOVED", "99EIRHUB", "Removed")
_OLDEST = 90

_NUMBERS = frozenset({"US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV"})
_TEXTS = frozenset({"LO", "SH", "LT", "ST", "UT", "UC", "AE", "UR", "PN"})
_FORMS: Mapping[str, re.Pattern[str]] = {
    "CS": re.compile(r"[A-Z0-9 _]{0,16}"),
    "DS": re.compile(r"[ ]*[+-]?[0-9.]{1,16}([eE][+-]?\d{1,3})?[ ]*|"),
    "IS": re.compile(r"[ ]*[+-]?\d{1,12}[ ]*|"),
    "AS": re.compile(r"\d{3}[DWMY]|"),
    "UI": re.compile(r"[0-9.]{0,64}"),
    "DA": re.compile(r"\d{8}|"),
    "TM": re.compile(r"[0-9:.]{0,16}"),
}
# Texts outside the table that describe the machine or the technique, word by word as descriptors;
# makers and versions are no words of a list, so their form is checked instead.
_TECHNICAL = frozenset(
    {
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
        "ConvolutionKernel",
        "SequenceName",
        "FilterType",
        "ReceiveCoilName",
        "TransmitCoilName",
        "CodingSchemeDesignator",
        "CodeValue",
        "LossyImageCompressionMethod",
        "ImagedNucleus",
    }
)
_TECHNICAL_FORM = re.compile(r"[A-Za-z0-9 ._+*/()-]{0,24}")
# The schemes whose codes mean what a dictionary says, not what a site typed.
_SCHEMES = frozenset({"DCM", "SCT", "SRT", "LN", "UCUM", "SNM3", "NCIt", "FMA", "RADLEX", "UMLS"})
_BYTES = re.compile(r"(Red|Green|Blue|Alpha)PaletteColorLookupTableData|LUTData")
_OWN = frozenset(
    {
        "PatientName",
        "PatientID",
        "SpecificCharacterSet",
        "PatientIdentityRemoved",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "LongitudinalTemporalInformationModified",
        "BurnedInAnnotation",
        "RecognizableVisualFeatures",
    }
)
_LONGEST = {"LO": 64, "SH": 16, "PN": 64, "AE": 16, "ST": 1024}
_DATE_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}


@dataclass(frozen=True)
class Cleaner:
    """De-identifies objects of one person for one project."""

    profile: Profile
    key: ProjectKey
    subject: PseudonymousSubject

    def cleaned(self, dataset: Dataset, *, pixels_checked: bool) -> Dataset:
        """Return the new object without pixels; what cannot be read is left out.

        `pixels_checked` says that text has been looked for in them and is gone.
        """
        new = self._level(dataset, 0)
        new.SpecificCharacterSet = "ISO_IR 192"
        new.PatientName = self.subject.subject_id
        new.PatientID = self.subject.subject_id
        new.PatientIdentityRemoved = "YES"
        new.DeidentificationMethod = METHOD[:64]
        new.DeidentificationMethodCodeSequence = Sequence(
            _code(value, "DCM", meaning) for value, meaning in self.profile.codes
        )
        moved = Option.MODIFIED_DATES in self.profile.options
        new.LongitudinalTemporalInformationModified = "MODIFIED" if moved else "REMOVED"
        if pixels_checked:
            new.BurnedInAnnotation = "NO"
        return new

    def new_uid(self, original: str) -> str:
        """Return the UID that stands for `original` in the new objects."""
        return original if Option.RETAIN_UIDS in self.profile.options else self.key.uid(original)

    def _level(self, dataset: Dataset, depth: int) -> Dataset:
        new = Dataset()
        for tag in sorted(dataset.keys()):
            if depth == 0 and not _is_wanted(tag):
                continue
            if tag.is_private or tag.group in {0x0000, 0x0002} or tag.element == 0:
                continue
            try:
                element = dataset[tag]
                made = self._element(element, dataset, depth)
            except VALUE_ERRORS:
                continue
            if made is not None:
                new.add(made)
        return new

    def _element(self, element: DataElement, parent: Dataset, depth: int) -> DataElement | None:
        if not dictionary_has_tag(element.tag) or _is_own(element, depth):
            return None
        action = self.profile.action(element.tag)
        if action is None:
            return self._outside_the_table(element, parent, depth)
        if element.VR == "SQ":
            return self._sequence(element, action, depth)
        if action is Action.CLEAN:
            return self.scrubbed(element)
        return _ACTIONS[action](self, element)

    def _sequence(self, element: DataElement, action: Action, depth: int) -> DataElement | None:
        if action is Action.REMOVE or depth >= _DEEPEST:
            return None
        if action is Action.EMPTY:
            return DataElement(element.tag, "SQ", Sequence())
        if action is Action.DUMMY:
            coded = "CodeSequence" in element.keyword
            return DataElement(element.tag, "SQ", Sequence([_code(*_DUMMY_CODE)] if coded else []))
        items = [self._level(item, depth + 1) for item in element.value]
        return DataElement(element.tag, "SQ", Sequence(items))

    def _outside_the_table(
        self, element: DataElement, parent: Dataset, depth: int
    ) -> DataElement | None:
        if element.VR == "SQ":
            return self._sequence(element, Action.KEEP, depth)
        if element.VR in {"DA", "DT"}:
            return self._date(element)
        if element.VR == "UI":
            return self.mapped(element)
        if element.keyword == "CodeMeaning":
            return _made(element, _meaning(str(element.value), parent))
        if element.keyword == "BodyPartExamined":
            return _made(element, _each(element, cleaned_text).upper()[:16])
        if element.VR in _TEXTS:
            return _technical(element)
        return _plain(element)

    def scrubbed(self, element: DataElement) -> DataElement | None:
        """Return dates moved and texts without any word that is not known."""
        if element.VR in {"DA", "DT"}:
            return self._date(element)
        if element.VR in {"TM", "SH"} and Option.MODIFIED_DATES in self.profile.options:
            times = _plain(element) if element.VR == "TM" else None
            if times is not None:
                return times
        if element.VR in _TEXTS - {"PN", "AE"}:
            return _made(element, _each(element, cleaned_text))
        return _ACTIONS[self.profile.basic_action(element.tag)](self, element)

    def _date(self, element: DataElement) -> DataElement | None:
        if Option.MODIFIED_DATES not in self.profile.options:
            return None
        return _made(element, _each(element, self.subject.shifted_day))

    def mapped(self, element: DataElement) -> DataElement:
        """Return the element with the project's UIDs; the same original gives the same."""
        return _made(element, _each(element, self.new_uid))

    def kept(self, element: DataElement) -> DataElement | None:
        """Return what an option retains; ages above 89 are capped."""
        if element.VR in _TEXTS:
            return _made(element, _each(element, str))
        kept = _plain(element)
        if kept is not None and element.VR == "AS":
            kept.value = _capped_age(str(kept.value))
        return kept

    def dummy(self, element: DataElement) -> DataElement | None:
        """Return a value of the same kind that says nothing."""
        vr = element.VR
        if vr == "UI":
            return self.mapped(element)
        if vr == "PN":
            return _made(element, self.subject.subject_id)
        if vr in _TEXTS or vr == "CS":
            return _made(element, _DUMMY_TEXT)
        if vr in _DATE_DUMMIES:
            return _made(element, _DATE_DUMMIES[vr])
        if vr in _NUMBERS or vr in {"IS", "DS"}:
            return _made(element, 0)
        return None


def _removed(_cleaner: Cleaner, _element: DataElement) -> None:
    return None


def _empty(_cleaner: Cleaner, element: DataElement) -> DataElement:
    return _made(element, "")


_ACTIONS: Mapping[Action, Callable[[Cleaner, DataElement], DataElement | None]] = {
    Action.REMOVE: _removed,
    Action.EMPTY: _empty,
    Action.DUMMY: Cleaner.dummy,
    Action.REPLACE_UID: Cleaner.mapped,
    Action.REFERENCES: _removed,
    Action.KEEP: Cleaner.kept,
    Action.CLEAN: Cleaner.scrubbed,
}


def _is_wanted(tag: BaseTag) -> bool:
    """Pixels are made anew; overlays and curves carry drawn text, so no part of them is kept."""
    if tag.group in _OVERLAYS or tag.group in _CURVES or tag.group == _PIXEL_GROUP:
        return False
    return bool(tag < Tag(0xFFFA, 0))


def _is_own(element: DataElement, depth: int) -> bool:
    return depth == 0 and element.keyword in _OWN - {"BurnedInAnnotation"}


def _plain(element: DataElement) -> DataElement | None:
    """A value that is what its VR says and can hold no words, as it was; else nothing."""
    vr = element.VR
    if vr in _NUMBERS:
        return _made(element, element.value)
    form = _FORMS.get(vr)
    if form is not None:
        values = list(_values(element))
        # A code string is one of the standard's words; one of more than a dozen digits is none.
        fits = all(form.fullmatch(value) and not _is_number_of(value, vr) for value in values)
        return _made(element, "\\".join(values)) if fits else None
    if vr in {"OW", "OB"} and _BYTES.fullmatch(element.keyword):
        return _made(element, element.value)
    return None


def _is_number_of(value: str, vr: str) -> bool:
    return vr == "CS" and bool(re.search(r"\d{5}", value))


def _technical(element: DataElement) -> DataElement:
    if element.keyword not in _TECHNICAL or dictionary_VR(element.tag) != element.VR:
        return _made(element, "")
    values = [value if _is_technical(value) else _DUMMY_TEXT for value in _values(element)]
    return _made(element, "\\".join(values))


def _is_technical(value: str) -> bool:
    return bool(_TECHNICAL_FORM.fullmatch(value)) and not re.search(r"\d{9}", value)


def _meaning(value: str, code: Dataset) -> str:
    """The meaning a code's own item gives, where it is said in known words; else the code."""
    cleaned = cleaned_text(value)
    if cleaned:
        return cleaned[:64]
    scheme = str(code.get("CodingSchemeDesignator", ""))
    return str(code.get("CodeValue", ""))[:16] if scheme in _SCHEMES else _DUMMY_TEXT


def _made(element: DataElement, value: object) -> DataElement:
    """The element with another value, no longer than its VR allows."""
    longest = _LONGEST.get(element.VR)
    if longest and isinstance(value, str):
        value = "\\".join(one[:longest] for one in value.split("\\"))
    return DataElement(element.tag, element.VR, value, validation_mode=IGNORE)


def _each(element: DataElement, change: Callable[[str], str]) -> str:
    return "\\".join(change(value) for value in _values(element))


def _values(element: DataElement) -> Iterator[str]:
    value = element.value
    if value is None:
        return
    if isinstance(value, MultiValue | list | tuple):
        yield from (str(one) for one in value)
    else:
        yield str(value)


def _capped_age(value: str) -> str:
    """Ages above 89 are rare enough to name somebody: they read 090Y."""
    if re.fullmatch(r"\d{3}Y", value) and int(value[:3]) > _OLDEST:
        return f"{_OLDEST:03d}Y"
    return value


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item
