"""Whom and what the demo plays: persons, studies and accounts, read from `demo_patients.toml`."""

import tomllib
from dataclasses import dataclass
from datetime import date

from hub_kernel.config_files import shipped_config


@dataclass(frozen=True)
class DemoPerson:
    """One invented person and the local IDs that sites know them by."""

    key: str
    name: str
    birth_date: date
    sex: str
    resident_id: str
    local_ids: dict[str, str]


@dataclass(frozen=True)
class DemoStudy:
    """One study to push: whose, from where, and which real image files it is made of."""

    person: DemoPerson
    site_id: str
    study_date: date
    accession: str
    modality: str
    description: str
    body_part: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class DemoAccount:
    """One reader who can sign in; an empty `sites` means the whole region."""

    username: str
    display_name: str
    role: str
    sites: tuple[str, ...]


@dataclass(frozen=True)
class DemoRegion:
    """Everything the demo plays."""

    persons: tuple[DemoPerson, ...]
    studies: tuple[DemoStudy, ...]
    accounts: tuple[DemoAccount, ...]


def demo_region(today: date) -> DemoRegion:
    """Return the demo's region; study dates count back from `today`."""
    tables = tomllib.loads(shipped_config("demo_patients.toml").read_text(encoding="utf-8"))
    persons = {table["key"]: _person(table) for table in tables["person"]}
    return DemoRegion(
        persons=tuple(persons.values()),
        studies=tuple(_study(table, persons, today) for table in tables["study"]),
        accounts=tuple(
            DemoAccount(t["username"], t["display_name"], t["role"], tuple(t["sites"]))
            for t in tables["account"]
        ),
    )


def _person(table: dict[str, object]) -> DemoPerson:
    return DemoPerson(
        **{**table, "birth_date": date.fromisoformat(str(table["birth_date"]))}  # type: ignore[arg-type]
    )


def _study(table: dict[str, object], persons: dict[str, DemoPerson], today: date) -> DemoStudy:
    days_ago = int(str(table["days_ago"]))
    return DemoStudy(
        person=persons[str(table["person"])],
        site_id=str(table["site"]),
        study_date=date.fromordinal(today.toordinal() - days_ago),
        accession=str(table["accession"]),
        modality=str(table["modality"]),
        description=str(table["description"]),
        body_part=str(table["body_part"]),
        files=tuple(str(name) for name in table["files"]),  # type: ignore[attr-defined]
    )
