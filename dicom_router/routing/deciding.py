"""Hold rules against one instance: where it goes, and which rule said so or why it did not."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydicom.uid import UID

from dicom_router.routing.model import Check, Decision, Facts, Routed, Rule, RuleOutcome, When

_NOTHING = "nothing"


def decide(rules: Sequence[Rule], facts: Facts) -> Decision:
    """Return where the instance goes.

    Every rule that matches is heard, in order, until one that says stop. A destination gets the
    instance once: as the first of them says.
    """
    outcomes: list[RuleOutcome] = []
    routed: dict[str, Routed] = {}
    overruled: list[Routed] = []
    stopped_by = ""
    for rule in rules:
        outcome = RuleOutcome(rule, tuple(_checks(rule.when, facts)), stopped_by)
        outcomes.append(outcome)
        if not outcome.matched:
            continue
        for delivery in rule.send:
            new = Routed(rule.name, delivery)
            if routed.setdefault(delivery.destination, new) is not new:
                overruled.append(new)
        if rule.stop:
            stopped_by = rule.name
    return Decision(tuple(routed.values()), tuple(overruled), tuple(outcomes))


def asked_tags(rules: Sequence[Rule]) -> frozenset[str]:
    """Return the keywords of the attributes that the rules look at."""
    return frozenset(keyword for rule in rules for keyword in rule.when.tags)


def _checks(when: When, facts: Facts) -> list[Check]:
    checks = [
        _texts(name, wanted, (found,) if found else ())
        for name, wanted, found in (
            ("site", when.site, facts.site_id),
            ("modality", when.modality, facts.modality),
            ("body_part", when.body_part, facts.body_part),
        )
        if wanted
    ]
    if when.sop_class:
        checks.append(_sop_class(when.sop_class, facts.sop_class_uid))
    if when.emergency is not None:
        words = {True: "an emergency", False: "no emergency"}
        holds = when.emergency == facts.emergency
        checks.append(Check("emergency", words[when.emergency], words[facts.emergency], holds))
    if when.during is not None:
        holds = when.during.contains(facts.archived_at)
        archived = facts.archived_at.strftime("%a %H:%M").lower()
        checks.append(Check("time", str(when.during), archived, holds))
    checks += [
        _texts(keyword, wanted, facts.tags.get(keyword, ()))
        for keyword, wanted in when.tags.items()
    ]
    return checks


def _texts(condition: str, wanted: tuple[str, ...], found: tuple[str, ...]) -> Check:
    return Check(condition, _listed(wanted), _listed(found), _holds(wanted, found))


def _sop_class(wanted: tuple[str, ...], found: str) -> Check:
    """A SOP class is named by its keyword or its UID; either may be a pattern."""
    keyword = UID(found).keyword
    holds = _holds(wanted, tuple(filter(None, (found, keyword))))
    return Check("sop_class", _listed(wanted), keyword or found or _NOTHING, holds)


def _holds(wanted: tuple[str, ...], found: tuple[str, ...]) -> bool:
    excluded = [pattern[1:] for pattern in wanted if pattern.startswith("!")]
    included = [pattern for pattern in wanted if not pattern.startswith("!")]
    if any(_matches(pattern, value) for pattern in excluded for value in found):
        return False
    return not included or any(_matches(pattern, value) for pattern in included for value in found)


def _matches(pattern: str, value: str) -> bool:
    return fnmatchcase(value.casefold(), pattern.replace("[", "[[]").casefold())


def _listed(values: tuple[str, ...]) -> str:
    return " or ".join(values) or _NOTHING
