"""FEBRL 1 to 4 without the national ID: weights trained on three sets, scored on the fourth.

python -m benchmarks.matching.febrl [--sets 1 2 3 4] [--seed 1] [--unsupervised] [--json]

"best cut" is the recall when the threshold is put just above the best false pair of the scored set,
as it is reported for splink; "threshold" is one chosen on the three training sets alone.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.matching import training
from benchmarks.matching.febrl_data import FebrlSet, Pair, level_classes, load_sets
from benchmarks.matching.progress import Progress
from benchmarks.matching.training import Shares
from patient_index.matching import Weights, compare
from patient_index.matching.weights import NAME_FIELDS, weights_from

FIELDS = (
    *NAME_FIELDS, "birth_date", "province", "city", "street", "house", "second_line", "postal_code",
)  # fmt: skip
SPLINK = {1: 0.992, 2: 0.9385, 3: 0.8922, 4: 0.9678}
"""Recall of splink 5 at zero false merges, best cut."""
SAFETY_BITS = 2.0
"""Above the best false pair of the training sets."""
Scored = list[tuple[float, Pair]]


@dataclass(frozen=True)
class Cut:
    """What a threshold gives."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True)
class Result:
    """One scored set."""

    number: int
    true_pairs: int
    blocked: int
    missed_by_blocking: int
    no_false: Cut
    """Best cut without a false pair."""
    best_f1: Cut
    """Best cut by F1 among those with a precision of at least 0.999."""
    chosen: Cut
    """At the threshold of the training sets."""
    persons: Cut
    """The same when everybody who is linked, directly or not, counts as one person."""
    splink_recall: float


def main() -> None:
    """Score the sets and print the table."""
    options = _options()
    sets = load_sets()
    results = []
    with Progress("FEBRL", len(options.sets)) as progress:
        for done, number in enumerate(options.sets):
            results.append(evaluate(sets, number, options.seed, labels=not options.unsupervised))
            progress.at(done + 1)
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print("\n".join(_table(results)))


def evaluate(sets: dict[int, FebrlSet], number: int, seed: int, *, labels: bool = True) -> Result:
    """Train on every set but `number`, score that one."""
    others = [one for other, one in sets.items() if other != number]
    weights = trained(others, seed, labels=labels)
    threshold = max(_best_false(score(one, weights), one) for one in others) + SAFETY_BITS
    scored = score(sets[number], weights)
    truth = sets[number].true_pairs
    chosen = [pair for bits, pair in scored if bits >= threshold]
    return Result(
        number=number,
        true_pairs=len(truth),
        blocked=len(scored),
        missed_by_blocking=len(truth - {pair for _, pair in scored}),
        no_false=_no_false(scored, truth),
        best_f1=_best_f1(scored, truth),
        chosen=_cut(threshold, chosen, truth),
        persons=_cut(threshold, _closed(chosen, sets[number]), truth),
        splink_recall=SPLINK[number],
    )


def trained(sets: Sequence[FebrlSet], seed: int, *, labels: bool) -> Weights:
    """Return weights from these sets; without `labels` the truth of no pair is looked at."""
    classes = level_classes(sets, FIELDS, seed)
    shares = training.labelled_shares(classes)
    if not labels:
        shares = _unsupervised(sets, shares)
    training.tie_slips(shares)
    people = sum(len(one.records) for one in sets)
    return weights_from(
        {
            "name": "febrl",
            "version": "-".join(one.name for one in sets),
            "thresholds": {"link": 0.0, "review": 0.0, "margin": 0.0},
            "alternatives": {"stranger": -math.log2(people)},
            "fields": shares,
        },
        {},
    )


def _unsupervised(sets: Iterable[FebrlSet], known: Shares) -> Shares:
    """Random pairs stand for strangers; the rest is found by expectation maximisation."""
    patterns: Counter[training.Pattern] = Counter()
    for one in sets:
        for first, second in one.blocked_pairs:
            patterns[training.pattern_of(one.records[first], one.records[second], FIELDS)] += 1
    start: Shares = {
        name: {
            level: [0.9 if level == "same" else 0.1 / len(levels), found[1]]
            for level, found in levels.items()
        }
        for name, levels in known.items()
    }
    fitted = training.expectation_maximisation(patterns, FIELDS, start)
    least = 1e-4
    return {
        name: {
            level: [max(fitted.shares[name].get(level, [least])[0], least), found[1]]
            for level, found in levels.items()
        }
        for name, levels in known.items()
    }


def score(one: FebrlSet, weights: Weights) -> Scored:
    """Return every pair that shares a blocking key with its bits, best first."""
    pairs = one.blocked_pairs
    found = [(compare(one.records[a], one.records[b], weights).score, (a, b)) for a, b in pairs]
    return sorted(found, key=lambda scored: (-scored[0], scored[1]))


def _best_false(scored: Scored, one: FebrlSet) -> float:
    truth = one.true_pairs
    return max((bits for bits, pair in scored if pair not in truth), default=0.0)


def _cut(threshold: float, linked: Iterable[Pair], truth: set[Pair]) -> Cut:
    linked = set(linked)
    right = len(linked & truth)
    return Cut(threshold, right / max(len(linked), 1), right / max(len(truth), 1))


def _no_false(scored: Scored, truth: set[Pair]) -> Cut:
    highest = max((bits for bits, pair in scored if pair not in truth), default=-math.inf)
    kept = [pair for bits, pair in scored if bits > highest]
    return _cut(highest, kept, truth)


def _best_f1(scored: Scored, truth: set[Pair]) -> Cut:
    best, right = Cut(math.inf, 0.0, 0.0), 0
    for rank, (bits, pair) in enumerate(scored, start=1):
        right += pair in truth
        cut = Cut(bits, right / rank, right / len(truth))
        if cut.precision >= 0.999 and cut.f1 > best.f1:
            best = cut
    return best


def _closed(linked: Iterable[Pair], one: FebrlSet) -> set[Pair]:
    """Return all pairs within the persons that the links make."""
    person = list(range(len(one.records)))
    members = {number: [number] for number in person}
    for first, second in linked:
        mine, theirs = sorted((person[first], person[second]))
        if mine != theirs:
            for number in members[theirs]:
                person[number] = mine
            members[mine] += members.pop(theirs)
    return {
        pair
        for numbers in members.values()
        for index, first in enumerate(sorted(numbers))
        for second in sorted(numbers)[index + 1 :]
        if one.asked(pair := (first, second))
    }


def _table(results: Iterable[Result]) -> Iterable[str]:
    yield (
        "| set | true pairs | blocked | recall at 0 false | splink | best F1 at p ≥ .999 "
        "| threshold: p / r / F1 | as persons: p / r / F1 |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for one in results:
        missed = f"{one.blocked} ({one.missed_by_blocking} true missed)"
        best = f"{one.best_f1.f1:.4f} (p {one.best_f1.precision:.4f})"
        yield (
            f"| FEBRL{one.number} | {one.true_pairs} | {missed} | {one.no_false.recall:.4f} "
            f"| {one.splink_recall:.4f} | {best} | {_shown(one.chosen)} | {_shown(one.persons)} |"
        )


def _shown(cut: Cut) -> str:
    return f"{cut.precision:.4f} / {cut.recall:.4f} / {cut.f1:.4f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=int, nargs="+", default=[1, 2, 3, 4], help="sets to score")
    parser.add_argument("--seed", type=int, default=1, help="of the random pairs of strangers")
    parser.add_argument(
        "--unsupervised", action="store_true", help="train without any pair's truth (EM)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
