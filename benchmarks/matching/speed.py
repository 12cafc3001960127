"""How long preparing, blocking and comparing take, on candidate pairs as they occur.

python -m benchmarks.matching.speed [--people 20000] [--seed 7] [--rounds 3]
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

from benchmarks.matching.population.people import Population, registrations
from patient_index.matching import blocking_keys, compare, judge, load_weights, prepare


def main() -> None:
    """Print microseconds of processor time per call, the median of the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--people", type=int, default=20_000, help="people in the district")
    parser.add_argument("--seed", type=int, default=7, help="of the district")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    options = parser.parse_args()
    weights = load_weights()
    said = list(registrations(options.people, options.seed))
    population = Population.generate(options.people, options.seed)
    records = population.records
    pairs = [(records[a], records[b]) for a, b in sorted(population.blocked_pairs())]
    one = [("P", compare(*pairs[0], weights))]
    steps: dict[str, tuple[int, Callable[[], object]]] = {
        "prepare": (
            len(said),
            lambda: [prepare(each.demographics, each.identifiers) for each in said],
        ),
        "blocking_keys": (len(records), lambda: [blocking_keys(each) for each in records]),
        "compare": (len(pairs), lambda: [compare(a, b, weights) for a, b in pairs]),
        "explain": (len(pairs), lambda: [compare(a, b, weights).fields for a, b in pairs]),
        "judge": (10_000, lambda: [judge(one, weights.thresholds) for _ in range(10_000)]),
    }
    for name, (count, run) in steps.items():
        seconds = median(_seconds(run, options.rounds))
        print(f"{name:>14}  {seconds / count * 1e6:8.1f} µs of processor time")


def _seconds(run: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        found.append(time.process_time() - started)
    return found


if __name__ == "__main__":
    main()
