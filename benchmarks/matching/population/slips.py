"""What goes wrong at a registration desk: slips of pen and ear, borrowed cards, lost characters."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from benchmarks.matching.population import name_pool
from benchmarks.matching.population.households import Resident
from hub_kernel.person_names import PersonName, parse_person_name
from hub_kernel.pinyin import syllables
from patient_index.matching.variants import variant_table

SITES = 25


@dataclass(slots=True)
class Draft:
    """What a clerk is about to write down."""

    family: str
    given: str
    born: date | None
    sex: str
    phone: str
    address: str
    resident_number: str
    insurance_number: str
    mother: str = ""
    name: PersonName | None = None
    born_text: str = ""
    order: int = 0


def _borrowed_card(draft: Draft, resident: Resident, random: Random) -> bool:
    """The card of husband, wife or mother is read; sometimes its birth date and sex as well."""
    lender = resident.spouse or resident.mother
    if lender is None or not lender.resident_number:
        return False
    draft.resident_number, draft.insurance_number = lender.resident_number, lender.insurance_number
    if random.random() < 0.4:
        draft.born, draft.sex = lender.born, lender.sex
    return True


def _number_slip(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.resident_number, was = _slip(draft.resident_number, random), draft.resident_number
    return was != draft.resident_number


def _insurance_slip(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.insurance_number, was = _slip(draft.insurance_number, random), draft.insurance_number
    return was != draft.insurance_number


def _phone_slip(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.phone, was = _slip(draft.phone, random), draft.phone
    return was != draft.phone


def _slip(digits: str, random: Random) -> str:
    """One digit wrong, or two neighbours swapped."""
    if len(digits) < 4:
        return digits
    place = random.randrange(1, len(digits) - 1)
    if random.random() < 0.3:
        return digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
    return digits[:place] + random.choice("0123456789") + digits[place + 1 :]


def _homophone(draft: Draft, _resident: Resident, random: Random) -> bool:
    return _misheard(draft, random, name_pool.homophones())


def _dialect(draft: Draft, _resident: Resident, random: Random) -> bool:
    return _misheard(draft, random, name_pool.homophones(blurred_too=True))


def _surname_homophone(draft: Draft, _resident: Resident, random: Random) -> bool:
    others = name_pool.surname_homophones().get(draft.family)
    if not others:
        return False
    draft.family = random.choice(others)
    return True


def _misheard(draft: Draft, random: Random, alike: name_pool.Alike) -> bool:
    place = random.randrange(len(draft.given))
    others = alike.get(draft.given[place])
    if not others:
        return False
    draft.given = draft.given[:place] + random.choice(others) + draft.given[place + 1 :]
    return True


def _wrong_character(draft: Draft, resident: Resident, random: Random) -> bool:
    if resident.foreign:
        return False
    place = random.randrange(len(draft.given))
    wrong = name_pool.new_given_name(random, resident.sex, resident.born.year)[0]
    draft.given = draft.given[:place] + wrong + draft.given[place + 1 :]
    return True


def _rare_lost(draft: Draft, _resident: Resident, random: Random) -> bool:
    """A system that knows GBK alone loses the character; a clerk may type another instead."""
    if not name_pool.outside_gbk(draft.given):
        return False
    instead = random.choice(("?", "?", "□", "", "*"))
    draft.given = "".join(instead if name_pool.outside_gbk(char) else char for char in draft.given)
    return True


def _variant(draft: Draft, resident: Resident, _random: Random) -> bool:
    if resident.foreign:
        return False
    table = _variants_by_character()
    was = draft.family + draft.given
    draft.family = "".join(table.get(char, char) for char in draft.family)
    draft.given = "".join(table.get(char, char) for char in draft.given)
    return was != draft.family + draft.given


def _variants_by_character() -> dict[str, str]:
    if not _VARIANTS:
        for variant, char in variant_table().items():
            if len(variant.encode("utf-16-le")) == 2:
                _VARIANTS.setdefault(char, variant)
    return _VARIANTS


_VARIANTS: dict[str, str] = {}


def _letters_only(draft: Draft, resident: Resident, random: Random) -> bool:
    """A modality without Chinese sends pinyin."""
    if resident.foreign or not draft.given:
        return False
    family = "".join(syllables(draft.family))
    given = "".join(syllables(draft.given, surname_first=False))
    text = f"{family.title()}^{given.title()}"
    draft.name = parse_person_name(text.upper() if random.random() < 0.5 else text)
    return True


def _letter_slip(draft: Draft, resident: Resident, random: Random) -> bool:
    if not resident.foreign or len(draft.given) < 3:
        return False
    place = random.randrange(1, len(draft.given))
    draft.given = draft.given[:place] + draft.given[place + 1 :]
    return True


def _swapped_names(draft: Draft, _resident: Resident, _random: Random) -> bool:
    if draft.name is not None:
        return False
    draft.family, draft.given = draft.given, draft.family
    return True


def _unknown_person(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.name = parse_person_name(random.choice(("=无名氏", "=不详", "UNKNOWN^MALE")))
    draft.born, draft.phone, draft.address = None, "", ""
    draft.resident_number = draft.insurance_number = ""
    return True


def _lunar_birthday(draft: Draft, _resident: Resident, random: Random) -> bool:
    if draft.born is None:
        return False
    draft.born -= timedelta(days=random.randrange(19, 52))
    return True


def _date_slip(draft: Draft, _resident: Resident, random: Random) -> bool:
    if draft.born is None:
        return False
    for _ in range(5):
        text = _slip(f"{draft.born:%Y%m%d}", random)
        try:
            draft.born = date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            continue
        return True
    return False


def _day_month(draft: Draft, _resident: Resident, _random: Random) -> bool:
    if draft.born is None or draft.born.day > 12:
        return False
    draft.born = date(draft.born.year, draft.born.day, draft.born.month)
    return True


def _only_year(draft: Draft, _resident: Resident, random: Random) -> bool:
    if draft.born is None:
        return False
    if random.random() < 0.5:
        draft.born_text, draft.born = f"{draft.born.year}", None
    else:
        draft.born = date(draft.born.year, 1, 1)
    return True


def _no_birth_date(draft: Draft, _resident: Resident, _random: Random) -> bool:
    draft.born, draft.born_text = None, ""
    return True


def _no_sex(draft: Draft, _resident: Resident, _random: Random) -> bool:
    draft.sex = "U"
    return True


def _wrong_sex(draft: Draft, _resident: Resident, _random: Random) -> bool:
    draft.sex = "F" if draft.sex == "M" else "M"
    return True


def _relative_phone(draft: Draft, resident: Resident, random: Random) -> bool:
    relative = random.choice((resident.spouse, resident.mother, resident.spouse))
    if relative is None or not relative.phone:
        return False
    draft.phone = relative.phone
    return True


def _desk_phone(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.phone = f"0215778{random.randrange(SITES):04d}"
    return True


def _desk_address(draft: Draft, _resident: Resident, random: Random) -> bool:
    draft.address = random.choice(("不详", "上海市松江区中山东路39号", "上海市松江区"))
    return True


def _address_slip(draft: Draft, _resident: Resident, random: Random) -> bool:
    if len(draft.address) < 4:
        return False
    place = random.randrange(len(draft.address) - 1)
    draft.address = draft.address[:place] + draft.address[place + 1 :]
    return True


SLIPS: tuple[tuple[str, float, Callable[[Draft, Resident, Random], bool]], ...] = (
    ("borrowed-card", 0.006, _borrowed_card),
    ("number-slip", 0.012, _number_slip),
    ("insurance-slip", 0.006, _insurance_slip),
    ("phone-slip", 0.007, _phone_slip),
    ("homophone", 0.015, _homophone),
    ("dialect", 0.004, _dialect),
    ("surname-homophone", 0.004, _surname_homophone),
    ("wrong-character", 0.004, _wrong_character),
    ("rare-character-lost", 0.6, _rare_lost),
    ("variant", 0.01, _variant),
    ("letters-only", 0.04, _letters_only),
    ("letter-slip", 0.03, _letter_slip),
    ("swapped-names", 0.003, _swapped_names),
    ("lunar-birthday", 0.012, _lunar_birthday),
    ("date-slip", 0.008, _date_slip),
    ("day-month-swapped", 0.002, _day_month),
    ("only-year", 0.007, _only_year),
    ("no-birth-date", 0.01, _no_birth_date),
    ("no-sex", 0.01, _no_sex),
    ("wrong-sex", 0.003, _wrong_sex),
    ("relative's-phone", 0.12, _relative_phone),
    ("desk-phone", 0.01, _desk_phone),
    ("desk-address", 0.01, _desk_address),
    ("address-slip", 0.01, _address_slip),
    ("unknown-person", 0.0003, _unknown_person),
)
"""What goes wrong, how often, and how; the shares are ours, set to be unkind."""
