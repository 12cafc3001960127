"""What the district's sites wrote down about its people, with the slips that people make."""

from dataclasses import dataclass, replace
from random import Random

from benchmarks.matching.population.households import NEWBORN_DAYS, TODAY, Home, Resident
from benchmarks.matching.population.slips import SITES, SLIPS, Draft
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import parse_person_name
from patient_index.model import Address, Demographics, IdentifierKind, TypedIdentifier

_ROOT = "1.2.156.112635.9"
_RESIDENT = AssigningAuthority("RESIDENT", f"{_ROOT}.1")
_INSURANCE = AssigningAuthority("INSURANCE", f"{_ROOT}.2")


@dataclass(slots=True)
class Registration:
    """One statement of one site, and who it is truly about."""

    person: int
    household: int
    delivery: int
    site: int
    demographics: Demographics
    identifiers: tuple[TypedIdentifier, ...]
    spoilt: tuple[str, ...]
    """What went wrong: "borrowed-card", "homophone" …"""


def registrations_of(resident: Resident, seed: int) -> list[Registration]:
    """Return everything the sites know of one person; the same seed writes the same."""
    random, count = _begun(resident, seed)
    sites = random.sample(range(SITES), count)
    if count > 1 and random.random() < 0.01:
        sites[1] = sites[0]
    newborn = (TODAY - resident.born).days < NEWBORN_DAYS
    written = []
    for visit, site in enumerate(sites):
        unnamed = newborn and not resident.foreign and visit == 0 and resident.mother is not None
        written.append(_registration(resident, random, site, unnamed=unnamed))
    return written


def visits_of(resident: Resident, seed: int) -> int:
    """Return how many registrations `registrations_of` gives."""
    return _begun(resident, seed)[1]


def _begun(resident: Resident, seed: int) -> tuple[Random, int]:
    random = Random(seed * 1_000_003 + resident.number)  # noqa: S311 - repeatable, not secret
    return random, random.choices((1, 2, 3, 4, 5), (52, 30, 12, 4, 2))[0]


def _registration(resident: Resident, random: Random, site: int, *, unnamed: bool) -> Registration:
    draft = _draft(resident, random)
    spoilt = []
    if unnamed:
        spoilt.append("unnamed-newborn")
        _unnamed(draft, resident, random)
    for name, share, spoil in SLIPS:
        if random.random() < share and spoil(draft, resident, random):
            spoilt.append(name)
    issuer = AssigningAuthority(f"SITE{site:02d}", f"{_ROOT}.100.{site}")
    local = f"{resident.number * 37 % 9_999_991:07d}{random.randrange(100):02d}"
    identifiers = [TypedIdentifier(PatientIdentifier(local, issuer), IdentifierKind.LOCAL)]
    for value, authority, kind in (
        (draft.resident_number, _RESIDENT, IdentifierKind.RESIDENT_ID),
        (draft.insurance_number, _INSURANCE, IdentifierKind.INSURANCE),
    ):
        if value:
            identifiers.append(TypedIdentifier(PatientIdentifier(value, authority), kind))
    return Registration(
        person=resident.number,
        household=resident.household,
        delivery=resident.delivery,
        site=site,
        demographics=_demographics(draft),
        identifiers=tuple(identifiers),
        spoilt=tuple(spoilt),
    )


def _demographics(draft: Draft) -> Demographics:
    name = draft.name or parse_person_name(f"{draft.family}^{draft.given}")
    if draft.name is None and draft.family and ord(draft.family[0]) > 255:
        name = parse_person_name(f"={draft.family}^{draft.given}")
    return Demographics(
        name=name,
        birth_date=draft.born,
        birth_date_text=draft.born_text,
        sex=draft.sex,
        address=Address(text=draft.address),
        phones=(draft.phone,) if draft.phone else (),
        mother_name=parse_person_name(f"={draft.mother}") if draft.mother else None,
        multiple_birth=True if draft.order else None,
        birth_order=draft.order or None,
    )


def _draft(resident: Resident, random: Random) -> Draft:
    earlier = random.random() < 0.5
    home = resident.former_home if earlier and resident.former_home else resident.home
    own = resident.former_phone if earlier and resident.former_phone else resident.phone
    child = (TODAY - resident.born).days < 14 * 365
    mother = resident.mother
    return Draft(
        family=resident.family,
        given=resident.given,
        born=resident.born,
        sex=resident.sex,
        phone=(own or resident.contact) if random.random() < 0.78 else "",
        address=_address(home, random) if random.random() < 0.72 else "",
        resident_number=resident.resident_number if random.random() < 0.58 else "",
        insurance_number=resident.insurance_number if random.random() < 0.45 else "",
        mother=mother.family + mother.given
        if mother is not None and child and not mother.foreign and random.random() < 0.5
        else "",
        order=resident.order if child and random.random() < 0.35 else 0,
    )


_TOWNS = (
    "泗泾镇", "九亭镇", "洞泾镇", "车墩镇", "新桥镇", "石湖荡镇",
    "新浜镇", "叶榭镇", "泖港镇", "小昆山镇", "佘山镇", "岳阳街道",
    "永丰街道", "中山街道", "方松街道", "广富林街道", "九里亭街道", "永昌街道",
)  # fmt: skip
_ROAD_CHARACTERS = (
    "文荣新沪松江川谷阳茸梅华庙泽恒盛辰花思贤玉树乐都西林环城长兴五龙涞寅刘富宝银湖龙源"
)
_ROAD_KINDS = ("路", "街", "大道", "村", "苑", "支路")


def _address(home: Home, random: Random) -> str:
    first, second = divmod(home.road * 7919 % 1681, 41)
    road = _ROAD_CHARACTERS[first] + _ROAD_CHARACTERS[second] + _ROAD_KINDS[home.road % 6]
    if home.collective:
        return f"{_prefix(home, random)}{road}{home.lane}号"
    lane = f"{home.lane}弄" if home.lane else ""
    building = f"{home.building}号" if random.random() < 0.75 else f"{home.building}号楼"
    room = f"{home.room}室" if random.random() < 0.8 else ""
    return f"{_prefix(home, random)}{road}{lane}{building}{room}"


def _prefix(home: Home, random: Random) -> str:
    return random.choice(
        ("", "松江区", "上海市松江区", f"上海市松江区{_TOWNS[home.town]}", f"{_TOWNS[home.town]}")
    )


def _unnamed(draft: Draft, resident: Resident, random: Random) -> None:
    """Write a newborn down under the mother's name, twins with or without a number."""
    mother = resident.mother
    if mother is None:
        return
    child = "子" if resident.sex == "M" else "女"
    mark = ""
    if resident.order and random.random() < 0.7:
        mark = random.choice((str(resident.order), "大小"[resident.order - 1 : resident.order]))
    draft.family, draft.given = mother.family, f"{mother.given}之{mark}{child}"
    if mark.isdigit():
        draft.given = f"{mother.given}之{child}{mark}"
    draft.resident_number = draft.insurance_number = ""
    draft.mother = mother.family + mother.given


def without_numbers(registration: Registration) -> Registration:
    """Return the registration with the site's own number alone."""
    return replace(registration, identifiers=registration.identifiers[:1])
