"""Persons for the identity benchmark: any of them can be made from its number alone, by the seed.

Names as common as in `config/matching/names.toml`, one home, one mobile telephone, six in ten with
a resident ID number, one in five known at a second site.
"""

import itertools
import tomllib
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from random import Random

from stdnum.cn import ric

from hub_kernel.config_files import shipped_config
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.candidates import RESIDENTS
from patient_index.domains import Domain
from patient_index.model import (
    Address,
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)

SITES = tuple(
    Domain(f"SITE{n:02}", f"1.2.826.0.1.3680043.10.1717.8.{n}", (f"HIS|SITE{n:02}",))
    for n in range(1, 26)
)
POLICE = Domain(RESIDENTS.namespace, RESIDENTS.oid, (), may_assign=False)
_FIRST_BIRTH, _BIRTH_DAYS = date(1930, 1, 1), 35_000
_STREETS = tuple(
    f"{one}{two}{kind}"
    for one, two in itertools.product("沪松泗九新中人谷玉荣茸文", "江泾亭桥乐山民阳树北诚翔")
    for kind in ("路", "街", "公路")
)
_COUNTIES = ("310117", "310118", "310116", "310112", "330421", "330482", "320583", "320585")
_DISTRICTS = ("松江区", "青浦区", "金山区", "闵行区")


@dataclass(frozen=True)
class Resident:
    """One person as every site would register them."""

    number: int
    demographics: Demographics
    resident_id: str
    sites: tuple[Domain, ...]

    def identifier(self, site: Domain) -> PatientIdentifier:
        """Return the number this person has at a site."""
        return PatientIdentifier(f"{self.number:08}", AssigningAuthority(site.namespace, site.oid))

    def statement(self, site: Domain) -> PatientStatement:
        """Return what the site's information system sends about this person."""
        own = TypedIdentifier(self.identifier(site))
        cards = (
            [TypedIdentifier(PatientIdentifier(self.resident_id, RESIDENTS), _RESIDENT)]
            if self.resident_id
            else []
        )
        return PatientStatement((own, *cards), self.demographics, site.senders[0])


_RESIDENT = IdentifierKind.RESIDENT_ID


def resident(number: int, seed: int = 1) -> Resident:
    """Return the person of that number; the same for the same seed."""
    chance = Random(seed * 1_000_003 + number)  # noqa: S311 (a repeatable population)
    born = _FIRST_BIRTH + timedelta(days=number * 7919 % _BIRTH_DAYS)
    sex = "M" if chance.random() < 0.5 else "F"
    family, given = _pick("family", chance), _given(chance)
    sites = chance.sample(SITES, 2 if chance.random() < 0.2 else 1)
    resident_id = _resident_id(number, born, sex) if chance.random() < 0.6 else ""
    demographics = Demographics(
        name=PersonName(ideographic=f"{family}^{given}"),
        birth_date=born,
        sex=sex,
        address=Address(
            street=f"{chance.choice(_STREETS)}{chance.randrange(1, 900)}号"
            f"{chance.randrange(1, 7)}0{chance.randrange(1, 5)}室",
            city=chance.choice(_DISTRICTS),
            province="上海市",
            postal_code=f"2016{chance.randrange(100):02}",
        ),
        phones=(f"1{chance.randrange(30, 99)}{chance.randrange(100_000_000):08}",),
    )
    return Resident(number, demographics, resident_id, tuple(sites))


def residents(numbers: range, seed: int = 1) -> Iterator[Resident]:
    """Return the persons of these numbers."""
    return (resident(number, seed) for number in numbers)


def _resident_id(number: int, born: date, sex: str) -> str:
    """Nobody else's: people of one birthday are told apart by serial, then by county."""
    county, place = divmod(number // _BIRTH_DAYS, 500)
    body = f"{_COUNTIES[county]}{born:%Y%m%d}{place * 2 + (sex == 'M'):03}"
    return body + str(ric.calc_check_digit(body + "0"))


def _given(chance: Random) -> str:
    """Seven in ten as the table has it; the rest two characters of it, so that the tail is long."""
    if chance.random() < 0.7:
        return _pick("given", chance)
    return _pick("given", chance)[0] + _pick("given", chance)[-1]


def _pick(table: str, chance: Random) -> str:
    values, bounds = _table(table)
    return values[bisect(bounds, chance.random() * bounds[-1])]


@cache
def _table(name: str) -> tuple[list[str], list[float]]:
    text = tomllib.loads(shipped_config("matching/names.toml").read_text(encoding="utf-8"))[name]
    words = text.split()
    return words[::2], list(itertools.accumulate(map(float, words[1::2])))
