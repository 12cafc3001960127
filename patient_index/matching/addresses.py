"""Postal addresses made ready for comparison: Chinese ones in one line, others in parts."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from patient_index.matching.variants import canonical

if TYPE_CHECKING:
    from patient_index.model import Address


@dataclass(frozen=True, slots=True)
class MatchAddress:
    """An address in folded parts; a part that is not known is empty."""

    province: str = ""
    city: str = ""
    """The smallest named community: the district or county in China, the city elsewhere."""
    street: str = ""
    """Words of the street line, without its numbers."""
    house: tuple[str, ...] = ()
    """Numbers of the street line from the outside in: lane, house, room."""
    other: str = ""
    """The town or subdistrict in China; elsewhere what follows the street line: a building."""
    postal_code: str = ""

    @property
    def known(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self.city or self.street or self.house or self.other or self.postal_code)


def read_address(address: "Address") -> MatchAddress:
    """Return the address in parts; a line that names province and city itself is taken apart."""
    line = address.street or address.text
    parts = (line, address.city, address.province, address.postal_code)
    return _read(*(part[:_LONGEST] for part in parts))


_LONGEST = 255
_PARTS = re.compile(r"[,，;；\n\r]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_NUMBER = re.compile(r"\d+[a-z]?(?![a-z])|\d+")
_PROVINCE = re.compile(
    r"(北京市?|上海市?|天津市?|重庆市?|[^省市区县]{2,3}省|[^省市区县]{2,8}自治区)"
)
_CITY = re.compile(r"([^省市区县盟]{1,8}?(?:市|自治州|地区|盟))")
_DISTRICT = re.compile(r"([^省市区县路街弄号]{1,7}(?:新区|区|县|旗|市))")
_TOWN = re.compile(r"([^省市区县路弄号]{1,5}?(?:街道|镇|乡))(?=\D)")
_UNIT_WORDS = re.compile("(?:号楼|单元|[弄号栋幢室楼层座组队户梯])")
_LEADING = (
    ("province", _PROVINCE),
    ("city", _CITY),
    ("district", _DISTRICT),
    ("town", _TOWN),
)
_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")
_HAN_COUNT = re.compile("[〇一二三四五六七八九]+(?=号楼|单元|[弄号栋幢室楼层座组队户])")


@lru_cache(maxsize=8192)
def _read(line: str, city: str, province: str, postal_code: str) -> MatchAddress:
    first, *rest = _PARTS.split(line) if line else [""]
    postal_code = canonical(postal_code)
    if _HAN.search(line):
        return _read_chinese(canonical(line), canonical(city), canonical(province), postal_code)
    return MatchAddress(
        province=canonical(province),
        city=canonical(city),
        street=canonical(_NUMBER.sub(" ", first.casefold())),
        house=tuple(_NUMBER.findall(first.casefold())),
        other=canonical(" ".join(rest)),
        postal_code=postal_code,
    )


def _read_chinese(line: str, city: str, province: str, postal_code: str) -> MatchAddress:
    found = {}
    for name, pattern in _LEADING:
        match = pattern.match(line)
        if match:
            found[name] = match[1]
            line = line[match.end() :]
    line = _HAN_COUNT.sub(lambda match: match[0].translate(_DIGITS), line)
    return MatchAddress(
        province=(found.get("province") or province).removesuffix("市"),
        city=found.get("district") or found.get("city") or city,
        street=_UNIT_WORDS.sub("", re.sub(r"\d+[a-z]?", "", line)),
        house=tuple(re.findall(r"\d+[a-z]?", line)),
        other=found.get("town", ""),
        postal_code=postal_code,
    )
