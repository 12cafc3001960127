"""Turn index matches into C-FIND answers: the keys asked for, in the asker's character set.

PS3.4 C.4.1.1.3.2: an answer holds every key of the request, empty where the hub has no value, and
beside them the level, the character set, and where the match can be retrieved from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_router.identifiers import KNOWN_SEQUENCES, AskedKey, Identifier
from hub_kernel.character_sets import character_set
from hub_kernel.person_names import PersonName, encodable, encode_text
from image_archive.matching_times import Zones
from image_archive.query import AttributeValue, IndexMatch

UNICODE = "ISO_IR 192"
_MOST_SETS = 16
_ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_PLAIN_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_CHARACTER_SET = AskedKey(Tag(0x0008, 0x0005), "SpecificCharacterSet", "CS", "")
_LEVEL = AskedKey(Tag(0x0008, 0x0052), "QueryRetrieveLevel", "CS", "")
_RETRIEVE_AE_TITLE = AskedKey(Tag(0x0008, 0x0054), "RetrieveAETitle", "AE", "")

Known = Mapping[str, AttributeValue]


@dataclass(frozen=True)
class QueryAnswers:
    """Makes the answers to one identifier; `ae_title` is where the instances can be retrieved.

    With `zones` dates and times are answered in the asker's time zone.
    """

    identifier: Identifier
    ae_title: str
    zones: Zones | None = None

    def dataset(self, match: IndexMatch) -> tuple[Dataset, bool]:
        """Return one answer, and whether the hub knows every key asked for."""
        known = match.attributes(self.zones) | {
            "RetrieveAETitle": self.ae_title,
            "InstanceAvailability": "ONLINE",
        }
        keys = self.identifier.keys
        charset = self._character_set(_texts(keys, known))
        answer = Dataset()
        if charset:
            _put_text(answer, _CHARACTER_SET, charset, "")
        _put_text(answer, _LEVEL, self.identifier.level_as_asked, "")
        _put_text(answer, _RETRIEVE_AE_TITLE, self.ae_title, "")
        _put(answer, keys, known, charset)
        return answer, all(_is_known(key, known) for key in keys)

    def _character_set(self, texts: Iterable[str]) -> str:
        r"""The asker's own set where it can hold every text, else UTF-8; "" for plain ASCII."""
        asked = self.identifier.character_sets
        everything = "\r".join(texts)
        if _is_honest(asked) and encodable(everything, "\\".join(asked)):
            return "\\".join(asked)
        return "" if everything.isascii() else UNICODE


def _is_honest(terms: Sequence[str]) -> bool:
    """Tell whether a reader that knows its sets can have asked for these."""
    return 0 < len(terms) <= _MOST_SETS and None not in map(character_set, terms)


def _is_known(key: AskedKey, known: Known) -> bool:
    if key.vr == "SQ":
        nested = all(inner.keyword in known for inner in key.items)
        return key.keyword in KNOWN_SEQUENCES and nested
    return key.keyword in known


def _texts(keys: Iterable[AskedKey], known: Known) -> Iterator[str]:
    for key in keys:
        if key.keyword in KNOWN_SEQUENCES:
            yield from _texts(key.items, known)
        elif key.vr in _ENCODED_VRS:
            yield _text(known.get(key.keyword))


def _put(answer: Dataset, keys: Iterable[AskedKey], known: Known, charset: str) -> None:
    for key in keys:
        text = _text(known.get(key.keyword))
        if key.vr in _ENCODED_VRS | _PLAIN_VRS:
            _put_text(answer, key, text, charset)
        elif key.vr == "SQ":
            answer.add_new(key.tag, "SQ", _item(key, known, charset))
        else:
            _put_binary(answer, key, text)


def _item(key: AskedKey, known: Known, charset: str) -> list[Dataset]:
    """Return the one item the index knows of a sequence, none where it knows nothing of it."""
    if key.keyword not in KNOWN_SEQUENCES or not any(_texts(key.items, known)):
        return []
    item = Dataset()
    _put(item, key.items, known, charset)
    return [item]


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
    """Add a number, or nothing: what the hub does not know is answered empty."""
    answer.add_new(key.tag, key.vr, int(text) if text.isdecimal() else None)
