"""Register a generated district one by one, as the hub does, and count what goes wrong.

python -m benchmarks.matching.evaluate [--people 1000000] [--seed 2026] [--without-numbers]
    [--weights FILE] [--json]

Uses the thresholds and weights that ship. The seed must be neither of those that `train` used.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.matching.population.households import District, Resident
from benchmarks.matching.population.registrations import (
    Registration,
    registrations_of,
    visits_of,
    without_numbers,
)
from benchmarks.matching.progress import Progress
from benchmarks.matching.region import Region
from patient_index.matching import Weights, load_weights

TRAINING_SEEDS = (11, 12)


@dataclass(frozen=True)
class Report:
    """What one run measured."""

    people: int
    registrations: int
    true_pairs: int
    pairs_linked: int
    false_pairs: int
    false_links: int
    linked: dict[str, int]
    reviewed: dict[str, int]
    reviewed_rightly: int
    compared: int
    seconds: float
    how_false: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """Share of the true pairs that are in one person."""
        return self.pairs_linked / max(self.true_pairs, 1)

    @property
    def review_rate(self) -> float:
        """Reviews per registration."""
        return sum(self.reviewed.values()) / max(self.registrations, 1)


def main() -> None:
    """Run and print the report."""
    options = _options()
    if options.seed in TRAINING_SEEDS:
        raise SystemExit(f"seed {options.seed} was trained on; take another")
    weights = load_weights(options.weights)
    report = evaluate(options.people, options.seed, weights, numbers=not options.without_numbers)
    if options.json:
        print(json.dumps({**vars(report), "recall": report.recall}, ensure_ascii=False))
    else:
        print(f"weights {weights.label}, {weights.thresholds}")
        print("\n".join(_lines(report)))


def evaluate(people: int, seed: int, weights: Weights, *, numbers: bool = True) -> Report:
    """Register all registrations of a district in random order; return what was measured."""
    residents = list(District(seed).residents(people))
    order = arrival_order(residents, seed)
    region = Region(weights)
    started = time.monotonic()
    with Progress(f"register {len(order):,}", len(order)) as progress:
        for done, one in enumerate(_arriving(residents, order, seed)):
            region.register(one if numbers else without_numbers(one))
            progress.at(done)
    visits = Counter(person for person, _ in order)
    return Report(
        people=people,
        registrations=len(order),
        true_pairs=sum(count * (count - 1) // 2 for count in visits.values()),
        pairs_linked=region.true_pairs_linked(),
        false_pairs=region.false_pairs_linked(),
        false_links=len(region.tally.false_links),
        linked=dict(region.tally.linked),
        reviewed=dict(region.tally.reviewed.most_common()),
        reviewed_rightly=region.tally.reviewed_rightly,
        compared=region.tally.compared,
        seconds=time.monotonic() - started,
        how_false=tuple(region.tally.false_links[:50]),
    )


def arrival_order(residents: list[Resident], seed: int) -> list[tuple[int, int]]:
    """Return (index of the resident, visit) in the order in which registrations arrive."""
    order = [
        (index, visit)
        for index, resident in enumerate(residents)
        for visit in range(visits_of(resident, seed))
    ]
    Random(seed).shuffle(order)  # noqa: S311 - repeatable, not secret
    return order


def _arriving(
    residents: list[Resident], order: list[tuple[int, int]], seed: int
) -> Iterator[Registration]:
    for index, visit in order:
        yield registrations_of(residents[index], seed)[visit]


def _lines(report: Report) -> Iterator[str]:
    total = sum(report.reviewed.values())
    yield f"{report.people:,} people, {report.registrations:,} registrations"
    yield f"false links {report.false_links}, false pairs {report.false_pairs}"
    yield f"recall {report.recall:.4f} ({report.pairs_linked:,} of {report.true_pairs:,} pairs)"
    yield f"linked by {report.linked}"
    yield (
        f"review rate {report.review_rate:.4f} ({total:,}; "
        f"{report.reviewed_rightly:,} of them are the same person)"
    )
    yield from (f"    {count:>9,}  {reason}" for reason, count in report.reviewed.items())
    per = report.compared / max(report.registrations, 1)
    rate = report.registrations / max(report.seconds, 1e-9)
    yield f"{per:.1f} comparisons and {1000 / rate:.2f} ms per registration"
    yield from (f"FALSE {line}" for line in report.how_false)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--people", type=int, default=1_000_000, help="people in the district")
    parser.add_argument("--seed", type=int, default=2026, help="of the district")
    parser.add_argument("--weights", type=Path, default=None, help="instead of those that ship")
    parser.add_argument(
        "--without-numbers", action="store_true", help="no resident ID and no card anywhere"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
