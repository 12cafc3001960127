"""Turn index matches into C-FIND answers: the keys asked for, in the asker's character set.

PS3.4 C.4.1.1.3.2: an answer holds every key of the request, empty where the hub has no value, and
no other, save the level and the character set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_router.identifiers import AskedKey, Identifier
from hub_kernel.person_names import PersonName, encodable, encode_text
from image_archive.query import AttributeValue, IndexMatch

UNICODE = "ISO_IR 192"
_ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_PLAIN_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_CHARACTER_SET = AskedKey(Tag(0x0008, 0x0005), "SpecificCharacterSet", "CS", "")
_LEVEL = AskedKey(Tag(0x0008, 0x0052), "QueryRetrieveLevel", "CS", "")


@dataclass(frozen=True)
class QueryAnswers:
    """Makes the answers to one identifier; `ae_title` is where the instances can be retrieved."""

    identifier: Identifier
    ae_title: str

    def dataset(self, match: IndexMatch) -> tuple[Dataset, bool]:
        """Return one answer, and whether the hub knows every key asked for."""
        known = match.attributes() | {
            "RetrieveAETitle": self.ae_title,
            "InstanceAvailability": "ONLINE",
        }
        texts = {key: _text(known.get(key.keyword)) for key in self.identifier.keys}
        charset = self._character_set(texts[key] for key in texts if key.vr in _ENCODED_VRS)
        answer = Dataset()
        if charset:
            _put_text(answer, _CHARACTER_SET, charset, "")
        _put_text(answer, _LEVEL, self.identifier.level_as_asked, "")
        for key, text in texts.items():
            if key.vr in _ENCODED_VRS | _PLAIN_VRS:
                _put_text(answer, key, text, charset)
            else:
                _put_binary(answer, key, text)
        return answer, all(key.keyword in known for key in self.identifier.keys)

    def _character_set(self, texts: Iterable[str]) -> str:
        r"""The asker's own set where it can hold every text, else UTF-8; "" for plain ASCII."""
        asked = "\\".join(self.identifier.character_sets)
        everything = "\r".join(texts)
        if asked and encodable(everything, asked):
            return asked
        return "" if everything.isascii() else UNICODE


def _text(value: AttributeValue) -> str:
    if isinstance(value, PersonName):
        return value.dicom
    if isinstance(value, date):
        return value.strftime("%Y%m%d")
    if isinstance(value, tuple):
        return "\\".join(value)
    return "" if value is None else str(value)


def _put_text(answer: Dataset, key: AskedKey, text: str, charset: str) -> None:
    """Add text as bytes, so that nobody encodes it a second time."""
    encoded = key.vr in _ENCODED_VRS and charset
    coded = encode_text(text, charset) if encoded else text.encode("ascii", "replace")
    coded += (b"\0" if key.vr == "UI" else b" ") * (len(coded) % 2)
    answer[key.tag] = RawDataElement(
        key.tag, key.vr, len(coded), coded, 0, is_implicit_VR=False, is_little_endian=True
    )


def _put_binary(answer: Dataset, key: AskedKey, text: str) -> None:
    """Add a number, or nothing: sequences and unknown keys are answered empty."""
    number = int(text) if text.isdecimal() else None
    answer.add_new(key.tag, key.vr.split(" ")[0], number)
