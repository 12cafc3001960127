"""Print what a comparison of two records says, field by field, as in docs/matching.md.

python -m benchmarks.matching.explain
"""

import argparse
from datetime import date

from hub_kernel.person_names import PersonName
from patient_index.matching import (
    Comparison,
    FieldEvidence,
    MatchRecord,
    Thresholds,
    compare,
    judge,
    load_weights,
    prepare,
)
from patient_index.model import Address, Demographics

_HOME = Address("沪松公路 1 弄 3 号 502 室", "松江区", "上海市", "201615")


def main() -> None:
    """Print the comparison of 张文涛 with 张文濤, of one address and one telephone."""
    argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0]).parse_args()
    print(explained())


def explained() -> str:
    """Return the comparison, a line for each field of which both records say something."""
    weights = load_weights()
    found = compare(_record("张", "文涛"), _record("张", "文濤"), weights)
    verdict = judge([("other", found)], weights.thresholds)
    return "\n".join((*_lines(found), "", _outcome(found, weights.thresholds, verdict.decision)))


def _record(family: str, given: str) -> MatchRecord:
    said = Demographics(
        name=PersonName("", f"{family}^{given}"),
        birth_date=date(1976, 4, 27),
        sex="M",
        phones=("138 0013 8000",),
        address=_HOME,
    )
    return prepare(said)


def _lines(found: Comparison) -> list[str]:
    shown = [one for one in found.fields if one.level != "unknown"]
    return [
        f"{one.weight:+7.2f}  {one.field:11}  {one.level:8}  {_values(one)}".rstrip()
        for one in shown
    ]


def _values(one: FieldEvidence) -> str:
    return one.mine if one.mine == one.theirs else f"{one.mine} | {one.theirs}"


def _outcome(found: Comparison, limits: Thresholds, decision: str) -> str:
    return (
        f"{found.score:+7.2f}  {decision} (link from {limits.link:g}, review from "
        f"{limits.review:g}; compared with {found.alternative})"
    )


if __name__ == "__main__":
    main()
