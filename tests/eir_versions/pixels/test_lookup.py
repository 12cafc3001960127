"""Looking up is exact, by whatever library, for every word there is."""

import numpy as np
import pytest

from eir_versions.pixels import lookup
from eir_versions.pixels.lookup import looked_up


@pytest.mark.parametrize("library", ["numpy", "opencv"])
@pytest.mark.parametrize(
    ("kind", "lowest", "entries"),
    [
        ("u1", 0, 256),
        ("u1", 0, 16),
        ("i1", -128, 256),
        ("i1", -8, 16),
        ("u2", 0, 65536),
        ("u2", 0, 4096),
        ("i2", -32768, 65536),
        ("i2", -2048, 4096),
        ("u2", 0, 1),
    ],
)
def test_every_word_gets_its_entry_and_beyond_the_table_the_last(
    library: str, kind: str, lowest: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "numpy":
        monkeypatch.setattr(lookup, "_opencv", lambda: None)
    else:
        assert lookup._opencv() is not None
    limits = np.iinfo(kind)
    values = np.arange(limits.min, limits.max + 1).astype(kind).reshape(16, -1)
    table = np.random.default_rng(entries).integers(0, 256, entries).astype(np.uint8)
    wanted = [table[min(max(int(value) - lowest, 0), entries - 1)] for value in values.flat]
    assert looked_up(values, table, lowest).ravel().tolist() == wanted


def test_words_of_four_bytes_are_looked_up_too() -> None:
    values = np.array([[-5, 0, 3, 70000]], np.int32)
    assert looked_up(values, np.array([1, 2, 3], np.uint8), 0).tolist() == [[1, 1, 3, 3]]
