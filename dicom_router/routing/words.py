"""A routing decision in plain words, for `eirhub router explain`."""

from collections.abc import Iterator

from dicom_router.routing.model import Check, Decision, Delivery, RuleOutcome
from dicom_router.routing.windows import Window


def explained(decision: Decision) -> str:
    """Return where the instance goes, and under that what every rule said."""
    return "\n".join((*_destinations(decision), "", *_rules(decision)))


def _destinations(decision: Decision) -> Iterator[str]:
    if not decision.routed:
        yield "It stays in the archive: no rule sends it anywhere."
    for routed in decision.routed:
        yield f"To {routed.delivery.destination}, because of rule {routed.rule}:"
        yield f"  {_how(routed.delivery)}"
    for routed in decision.overruled:
        yield (
            f"Rule {routed.rule} names {routed.delivery.destination} too; an earlier rule decides "
            "how it is sent there."
        )


def _how(delivery: Delivery) -> str:
    form = (
        "as it is stored"
        if delivery.transfer == "as-stored"
        else f"as {delivery.transfer} where the destination takes it"
    )
    return f"{form}, priority {delivery.priority.name.lower()}, {_when(delivery.during)}"


def _when(during: Window | None) -> str:
    return f"only {during}, an emergency at once" if during else "at once"


def _rules(decision: Decision) -> Iterator[str]:
    if not decision.outcomes:
        yield "There are no rules; see router.rules."
    for outcome in decision.outcomes:
        yield f"Rule {outcome.rule.name}: {_verdict(outcome)}"
        if not outcome.skipped:
            yield from (f"  {_checked(check)}" for check in outcome.checks)


def _verdict(outcome: RuleOutcome) -> str:
    if outcome.skipped:
        return f"not asked, because rule {outcome.skipped} matched and says stop"
    if not outcome.matched:
        missed = [check.condition for check in outcome.checks if not check.holds]
        return f"does not match, because of {', '.join(missed)}"
    return "matches" if outcome.checks else "matches everything"


def _checked(check: Check) -> str:
    sign = "yes" if check.holds else "no "
    return f"{sign}  {check.condition}: wanted {check.wanted}; it is {check.found}"
