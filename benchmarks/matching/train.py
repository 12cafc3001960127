"""Train the weights that ship with the hub, on a generated district; thresholds on another one.

python -m benchmarks.matching.train [--people 150000] [--seed 11] [--validation-people 300000]
    [--validation-seed 12] [--out config/matching] [--unsupervised]

The districts that `evaluate` scores are of other seeds: no record is both trained on and scored.
"""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.matching import febrl_data, training, weights_file
from benchmarks.matching.population.people import CLASSES, Population
from benchmarks.matching.progress import Progress
from benchmarks.matching.training import Levels, Pattern, Shares
from patient_index.matching import MatchRecord, Weights, compare
from patient_index.matching.weights import NAME_FIELDS, weights_from

FIELDS = (
    *NAME_FIELDS, "birth_date", "sex", "province", "city", "street", "house", "second_line",
    "postal_code", "phone", "mother", "resident_number", "card", "local_number", "birth_order",
)  # fmt: skip
PRIORS = {"stranger": -21.0, "relative": -1.6, "twin": 5.0}
"""Two million records; some three relatives to each further record of a person; a twin is rare."""
MOST_PAIRS = 200_000
RANDOM_PAIRS = 1_500_000
SAFETY_BITS = 4.0
"""Above the best false pair of the validation district."""


def main() -> None:
    """Train, choose thresholds, write both files."""
    options = _options()
    district = Population.generate(options.people, options.seed)
    shares = _trained(district, unsupervised=options.unsupervised)
    tables = weights_file.term_frequencies(district.records)
    data: dict[str, Any] = {
        "name": "china",
        "version": options.version,
        "thresholds": {"link": 20.0, "review": 0.0, "margin": 10.0},
        "alternatives": PRIORS,
        "limits": {
            "address": {
                "fields": ["province", "city", "street", "house", "second_line", "postal_code"],
                "lowest": -6.0,
                "highest": 16.0,
            }
        },
        "fields": shares,
    }
    validation = Population.generate(options.validation_people, options.validation_seed)
    best_false = _best_false(validation, weights_from(data, tables))
    print(f"best false pair of the validation district: {best_false:.1f} bits")
    data["thresholds"]["link"] = float(math.ceil(max(best_false, 10.0) + SAFETY_BITS))
    weights_file.write(options.out, data, tables, _provenance(options))
    print(f"written to {options.out}: link at {data['thresholds']['link']} bits")


def _trained(district: Population, *, unsupervised: bool) -> Shares:
    blocked = district.blocked_pairs()
    strangers = Levels(FIELDS)
    for first, second in district.random_pairs(RANDOM_PAIRS, seed=1):
        strangers.add(district.records[first], district.records[second])
    classes = [Levels(FIELDS) for _ in CLASSES]
    with Progress(f"compare {len(blocked):,} pairs", len(blocked)) as progress:
        pairs = blocked | district.pairs_within(district.persons)
        pairs |= district.pairs_within(district.deliveries)
        pairs |= set(islice(district.pairs_within(district.households), MOST_PAIRS))
        for done, pair in enumerate(sorted(pairs)):
            first, second = pair
            classes[district.truth(pair)].add(district.records[first], district.records[second])
            progress.at(done)
    total = len(district.records) * (len(district.records) - 1) // 2
    rare = training.stranger_shares(strangers, classes[1], total)
    shares = training.labelled_shares([classes[0], strangers, classes[2], classes[3]])
    training.replace_class(shares, rare, 1)
    if unsupervised:
        shares = _unsupervised(classes, shares)
    training.tie_slips(shares)
    _borrow_letters(shares)
    return shares


def _unsupervised(classes: Sequence[Levels], start: Shares) -> Shares:
    """Fit the shares of the same person without looking at the truth; the others stay."""
    patterns: Counter[Pattern] = sum((one.patterns for one in classes), Counter())
    fitted = training.expectation_maximisation(patterns, FIELDS, _crude(start))
    for name, levels in fitted.shares.items():
        for level, found in levels.items():
            if level in start[name]:
                start[name][level][0] = found[0]
    return start


def _crude(shares: Shares) -> Shares:
    """Return a start that anybody could guess: the same person agrees nine times of ten."""
    crude: Shares = {}
    for name, levels in shares.items():
        rest = 0.1 / max(len(levels) - 1, 1)
        crude[name] = {
            level: [0.9 if level == "same" else rest, *found[1:]] for level, found in levels.items()
        }
    return crude


LETTER_LEVELS = {
    "family_name": ("close", "similar", "only_initial"),
    "given_name": ("close", "similar"),
    "postal_code": ("same", "one_slip", "different"),
}
"""Of names in letters and of postal codes a Chinese district shows too few."""


def _borrow_letters(shares: Shares) -> None:
    """Take the levels of names in letters from FEBRL, for a stranger; a relative shares much."""
    sets = febrl_data.load_sets()
    found = training.labelled_shares(febrl_data.level_classes(sets.values(), FIELDS))
    for name, levels in LETTER_LEVELS.items():
        for level in levels:
            if level in found[name]:
                same, stranger = found[name][level]
                shares[name][level] = [same, stranger, same, same]


def _best_false(district: Population, weights: Weights) -> float:
    blocked = district.blocked_pairs()
    best = 0.0
    with Progress(f"score {len(blocked):,} pairs", len(blocked)) as progress:
        for done, pair in enumerate(blocked):
            progress.at(done)
            first, second = (district.records[number] for number in pair)
            if district.truth(pair) == 0 or _shares_a_number(first, second):
                continue
            found = compare(first, second, weights)
            if not found.bars:
                best = max(best, found.score)
    return best


def _shares_a_number(first: MatchRecord, second: MatchRecord) -> bool:
    """Rules decide about these two before any weights are asked."""
    return not (
        first.resident_numbers.isdisjoint(second.resident_numbers)
        and first.cards.isdisjoint(second.cards)
    )


def _provenance(options: argparse.Namespace) -> str:
    how = "expectation maximisation" if options.unsupervised else "known truth"
    return (
        f"python -m benchmarks.matching.train --people {options.people} --seed {options.seed} "
        f"--validation-people {options.validation_people} "
        f"--validation-seed {options.validation_seed} ({how})"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=150_000, help="people to train on")
    parser.add_argument("--validation-people", type=int, default=300_000, help="for thresholds")
    parser.add_argument("--seed", type=int, default=11, help="of the district trained on")
    parser.add_argument("--validation-seed", type=int, default=12, help="of the one for thresholds")
    parser.add_argument("--version", default="1", help="written into the file")
    parser.add_argument("--out", type=Path, default=Path("config/matching"), help="folder")
    parser.add_argument(
        "--unsupervised", action="store_true", help="by EM, without looking at the truth"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
