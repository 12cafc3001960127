import math

import pytest

from eir_versions.pixels import display_size, fit_within


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (None, (100, 50)),
        ((1.0, 1.0), (100, 50)),
        ((2.0, 1.0), (100, 100)),
        ((1.0, 2.0), (200, 50)),
        ((0.3, 0.2), (100, 75)),
        ((0.0, 1.0), (100, 50)),
        ((math.nan, 1.0), (100, 50)),
        ((1e9, 1.0), (100, 50)),
    ],
)
def test_pixels_become_square_by_stretching_the_coarser_way(
    spacing: tuple[float, float] | None, expected: tuple[int, int]
) -> None:
    assert display_size(50, 100, spacing) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 512), (256, 128)),
        ((512, 1024), (128, 256)),
        ((10, 20), (10, 20)),
        ((9000, 1), (256, 1)),
    ],
)
def test_fitting_keeps_the_aspect_and_never_enlarges(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fit_within(size, (256, 256)) == expected
