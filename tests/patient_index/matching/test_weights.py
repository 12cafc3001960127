from pathlib import Path

import pytest

from hub_kernel.config_files import shipped_config
from hub_kernel.errors import ConfigurationError
from patient_index.matching import Weights, load_weights
from patient_index.matching.variants import variant_table

LEAST = """
name = "small"
version = "1"
[thresholds]
link = 10.0
review = 0.0
margin = 5.0
[alternatives]
stranger = -20.0
[fields.family_name]
same = [0.9, 0.01]
[fields.given_name]
same = [0.9, 0.001]
"""


def test_what_ships_can_be_read(weights: Weights) -> None:
    assert weights.alternatives == ("stranger", "relative", "twin")
    assert weights.thresholds.link > weights.thresholds.review
    assert weights.label.startswith("china ")


def test_what_ships_is_small() -> None:
    files = list(shipped_config("matching").iterdir())
    assert sum(path.stat().st_size for path in files) < 300_000


def test_no_level_of_agreement_speaks_against(weights: Weights) -> None:
    for field in weights.fields:
        if "same" in field.levels and field.name not in {"local_number"}:
            assert field.levels["same"][0] >= -0.01, field.name


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(LEAST, encoding="utf-8")
    assert load_weights(tmp_path / "own.toml").label == "small 1"


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ("[0.9, 0.01]", "[0.9]", "family_name.same"),
        ("link = 10.0", "lnk = 10.0", "lnk"),
        ('name = "small"', "", "name"),
        ("[fields.given_name]", "[fields.shoe_size]", "shoe_size"),
        ("[alternatives]", "[alternatives", "TOML"),
    ],
)
def test_a_file_that_lacks_something_is_refused_by_name(
    tmp_path: Path, was: str, becomes: str, named: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(LEAST.replace(was, becomes), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=named):
        load_weights(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        load_weights(tmp_path / "none.toml")


def test_no_variant_leads_to_another_variant() -> None:
    table = variant_table()
    assert not set(table) & set(table.values())
    assert (table["萬"], table["葉"], table["峯"]) == ("万", "叶", "峰")
