"""The example of docs/matching.md is what the shipped weights say today."""

from pathlib import Path

from benchmarks.matching.explain import explained

DOCUMENT = Path(__file__).parents[2] / "docs" / "matching.md"


def test_the_documented_example_is_what_the_comparison_says() -> None:
    assert f"```\n{explained()}\n```" in DOCUMENT.read_text(encoding="utf-8"), (
        "run python -m benchmarks.matching.explain and write down what it says"
    )


def test_the_weights_of_the_example_add_up_to_its_score() -> None:
    *fields, score = [line.split()[0] for line in explained().splitlines() if line]
    assert abs(sum(map(float, fields)) - float(score)) < 0.1
