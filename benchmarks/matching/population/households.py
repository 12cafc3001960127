"""The people of the district: households with parents, children, twins, grandparents, newcomers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from random import Random

from stdnum.cn import ric

from benchmarks.matching.population import name_pool

TODAY = date(2026, 11, 1)
"""The day on which the register was last written."""
NEWBORN_DAYS = 120
"""For so long a child may still be known under the mother's name."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a household lives."""

    town: int
    road: int
    lane: int
    building: int
    room: int
    collective: bool = False
    """A dormitory or an institution: hundreds of strangers at one address without a room."""


@dataclass(slots=True)
class Resident:
    """One person, as they are."""

    number: int
    household: int
    family: str
    given: str
    foreign: bool
    sex: str
    born: date
    resident_number: str
    insurance_number: str
    phone: str
    """Empty for children and for elders without one of their own."""
    home: Home
    former_home: Home | None
    former_phone: str
    mother: "Resident | None" = None
    spouse: "Resident | None" = None
    contact: str = ""
    """The number of whoever answers for a person without a phone."""
    delivery: int = 0
    """Same for the children of one birth; 0 when it was no multiple birth."""
    order: int = 0


class District:
    """Makes households one by one; the same seed makes the same people."""

    def __init__(self, seed: int) -> None:
        """Start an empty district."""
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret
        self._households = 0
        self._deliveries = 0
        self._serials: dict[tuple[str, date], list[int]] = {}
        self._roads, self._road_weights = _popular(self._random, 1600)

    def residents(self, count: int) -> Iterator[Resident]:
        """Yield `count` people, household by household."""
        yielded = 0
        while yielded < count:
            for resident in self._household()[: count - yielded]:
                yielded += 1
                resident.number = yielded
                yield resident

    def _household(self) -> list[Resident]:
        self._households += 1
        random = self._random
        kind = random.random()
        if kind < 0.16:
            return [self._person(self._adult_birth(18, 92), self._home())]
        if kind < 0.19:
            home = Home(0, random.randrange(40), random.randrange(1, 400), 0, 0, collective=True)
            return [self._person(self._adult_birth(17, 24), home)]
        return self._family()

    def _family(self) -> list[Resident]:
        random, home = self._random, self._home()
        born = self._adult_birth(24, 88)
        husband = self._person(born, home, sex="M")
        wife = self._person(_near(random, born, 3 * 365), home, sex="F")
        husband.spouse, wife.spouse = wife, husband
        members = [husband, wife]
        members += self._children(husband, wife)
        if random.random() < 0.22:
            elder_born = min(husband.born, wife.born) - timedelta(
                days=random.randrange(7600, 12500)
            )
            if elder_born > date(1924, 1, 1):
                sex = random.choice("MF")
                members.append(self._person(elder_born, home, sex, husband.family))
                members[-1].contact = husband.phone
        for member in members:
            if not member.phone:
                member.contact = member.contact or random.choice((husband.phone, wife.phone))
        return members

    def _children(self, husband: Resident, wife: Resident) -> list[Resident]:
        random, children = self._random, []
        shared = name_pool.new_given_name(random, "M", 2010)[0] if random.random() < 0.4 else ""
        mother_age = random.randrange(21, 33) * 365
        for _ in range(random.choices((0, 1, 2, 3), (18, 52, 26, 4))[0]):
            born = wife.born + timedelta(days=mother_age + random.randrange(365))
            mother_age += random.randrange(500, 2200)
            if born >= TODAY:
                break
            twins = random.random() < 0.016
            children += self._delivery(husband, wife, born, shared=shared, count=1 + twins)
        age = (TODAY - wife.born).days // 365
        if 21 <= age < 38 and random.random() < 0.035:
            born = TODAY - timedelta(days=random.randrange(NEWBORN_DAYS))
            twins = random.random() < 0.03
            children += self._delivery(husband, wife, born, shared=shared, count=1 + twins)
        return [child for child in children if _lives_at_home(random, child)]

    def _delivery(
        self, husband: Resident, wife: Resident, born: date, *, shared: str, count: int
    ) -> list[Resident]:
        random = self._random
        self._deliveries += 1
        family = husband.family if random.random() < 0.93 else wife.family
        first_sex = "M" if random.random() < 0.53 else "F"
        children: list[Resident] = []
        for order in range(count):
            sex = first_sex if order == 0 or random.random() < 0.65 else "FM"[first_sex == "F"]
            child = self._person(born, wife.home, sex, family, shared)
            child.foreign = husband.foreign
            child.mother, child.household = wife, wife.household
            if count > 1:
                child.delivery, child.order = self._deliveries, order + 1
                if order:
                    child.given = _twin_name(random, children[0].given, child)
            children.append(child)
        return children

    def _person(
        self, born: date, home: Home, sex: str = "", family: str = "", shared: str = ""
    ) -> Resident:
        random = self._random
        sex = sex or random.choice("MF")
        foreign = not family and random.random() < 0.006
        family = family or name_pool.new_surname(random)
        given = name_pool.new_given_name(random, sex, born.year, shared)
        if foreign:
            family, given = name_pool.foreign_name(random, sex)
        age = (TODAY - born).days // 365
        phone = _mobile(random) if _has_phone(random, age) else ""
        moved = random.random() < 0.18
        return Resident(
            number=0,
            household=self._households,
            family=family,
            given=given,
            foreign=foreign,
            sex=sex,
            born=born,
            resident_number="" if foreign else self._resident_number(born, sex),
            insurance_number=f"{random.randrange(10**9):09d}" if random.random() < 0.95 else "",
            phone=phone,
            home=home,
            former_home=self._home() if moved else None,
            former_phone=_mobile(random) if phone and random.random() < 0.3 else "",
        )

    def _adult_birth(self, youngest: int, oldest: int) -> date:
        age = self._random.triangular(youngest, oldest, (youngest + oldest) / 2.2)
        return TODAY - timedelta(days=int(age * 365.25) + self._random.randrange(365))

    def _home(self) -> Home:
        random = self._random
        road = random.choices(self._roads, cum_weights=self._road_weights)[0]
        return Home(
            town=road % 18,
            road=road,
            lane=random.randrange(1, 900) if random.random() < 0.8 else 0,
            building=random.randrange(1, 60),
            room=random.randrange(1, 19) * 100 + random.randrange(1, 5),
        )

    def _resident_number(self, born: date, sex: str) -> str:
        random = self._random
        region = random.choices(_REGIONS, cum_weights=_REGION_WEIGHTS)[0]
        used = self._serials.setdefault((region, born), [0, 0])
        male = sex == "M"
        used[male] += 1
        serial = used[male] * 2 + (1 if male else 0) + random.choice((0, 0, 0, 10, 40))
        used[male] = serial // 2
        body = f"{region}{born:%Y%m%d}{serial % 1000:03d}"
        return body + str(ric.calc_check_digit(body + "0"))


_REGIONS = (
    "310117", "310117", "310227", "310112", "310101", "320501", "330402", "340104", "341202",
    "360102", "410105", "420106", "511002", "522101", "612301",
)  # fmt: skip
_REGION_WEIGHTS = list(accumulate((38, 12, 10, 5, 4, 4, 4, 5, 4, 3, 4, 2, 2, 2, 1)))


def _popular(random: Random, count: int) -> tuple[list[int], list[float]]:
    """Roads, a few of them with most of the homes."""
    return list(range(count)), list(accumulate(1 / (rank + 60) for rank in range(count)))


def _near(random: Random, day: date, spread: int) -> date:
    return day + timedelta(days=int(random.gauss(0, spread / 2)))


def _has_phone(random: Random, age: int) -> bool:
    if age < 10:
        return False
    if age < 16:
        return random.random() < 0.4
    return age < 70 or random.random() < 0.55


def _lives_at_home(random: Random, child: Resident) -> bool:
    age = (TODAY - child.born).days // 365
    return age < 20 or random.random() < 0.55


def _mobile(random: Random) -> str:
    prefix = random.choice(
        ("130", "133", "135", "136", "137", "138", "139", "150", "158", "186", "189")
    )
    return f"{prefix}{random.randrange(10**8):08d}"


def _twin_name(random: Random, first: str, child: Resident) -> str:
    """Twins are named alike: one character shared, a doubled one each, now and then one sound."""
    fresh = name_pool.new_given_name(random, child.sex, child.born.year)
    roll = random.random()
    if roll < 0.03:
        sound = name_pool.homophones().get(first[-1])
        if sound:
            return first[:-1] + random.choice(sound)
    if roll < 0.6 and len(first) == 2:
        other = fresh[-1] if fresh[-1] != first[-1] else fresh[0]
        return first[0] + other if first[0] + other != first else first[0] + "宁"
    return fresh if fresh != first else fresh + "安"
