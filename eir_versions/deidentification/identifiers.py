"""Who an object is about, as words to look for; and looking for them in every byte that leaves.

The last line of defence: what cleaning lets through by mistake is found here before it is written.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_LEAST_BYTES = 5
# Fewer digits stand in some UID by chance.
_LEAST_DIGITS = 7
_ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")
# Attributes whose value names the person or the visit, beside every PN.
_NAMING = frozenset(
    {
        "PatientID",
        "OtherPatientIDs",
        "AccessionNumber",
        "PatientAddress",
        "PatientTelephoneNumbers",
        "AdmissionID",
        "MedicalRecordLocator",
        "MilitaryRank",
        "CountryOfResidence",
        "RegionOfResidence",
    }
)


@dataclass(frozen=True)
class KnownIdentifiers:
    """Words that must not be in anything that leaves; those too short to be told apart are not."""

    words: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, dataset: Dataset, more: Iterable[str] = ()) -> "KnownIdentifiers":
        """Return the names and numbers of whoever `dataset` is about, and of who treated them."""
        return cls(frozenset(_parts([*_values(dataset), *more])))

    def found_in(self, data: bytes) -> bool:
        """Say whether any of the words stands in `data`, plain, UTF-16, in base64 or in hex."""
        lowered = data.lower()
        return any(needle in lowered for needle in self._lowered) or any(
            needle in data for needle in self._exact
        )

    @property
    def _lowered(self) -> Iterator[bytes]:
        for word in self.words:
            for coding in _ENCODINGS:
                needle = word.encode(coding, "ignore")
                if len(needle) >= _LEAST_BYTES:
                    yield needle.lower()
                    yield needle.hex().encode()

    @property
    def _exact(self) -> Iterator[bytes]:
        for word in self.words:
            needle = word.encode("utf-8", "ignore")
            if len(needle) >= _LEAST_BYTES:
                yield from base64_forms(needle)


def base64_forms(needle: bytes) -> Iterator[bytes]:
    """Yield the middle of the base64 form of `needle` for each of its three possible places."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + needle)
        first = -(-before * 8 // 6)
        whole = (before + len(needle)) * 8 // 6
        piece = coded[first:whole]
        if len(piece) >= _LEAST_BYTES + 2:
            yield piece


def _values(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR == "PN" or element.keyword in _NAMING:
            value = element.value
            yield from map(str, value if isinstance(value, MultiValue) else [value])


def _parts(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        for word in {value, *re.split(r"[\^=\\ ,;]+", value), value.replace("^", " ")}:
            told = word.strip()
            if told and not (told.isdigit() and len(told) < _LEAST_DIGITS):
                yield told
