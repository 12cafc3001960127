"""VOI: windows and lookup tables to display values 0 to 255 (DICOM PS3.3 C.11.2.1)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.model import RealArray, Window, WindowFunction

WHITE = 255.0
Reals = NDArray[np.float64]


def window_of_range(low: float, high: float) -> Window:
    """Return the linear window that maps `low` to black and `high` to white.

    For integers it is the window of PS3.3 C.11.2.1.2: width high - low + 1. A flat image gets
    width 1 and is black.
    """
    return Window((low + high + 1.0) / 2.0, high - low + 1.0)


def windowed(values: RealArray, window: Window, white: float = WHITE, *, inverse: bool) -> Reals:
    """Return display values in [0, white], not rounded, of modality values through a usable window.

    With `inverse` the scale runs from white to black; it is turned here, before the caller's floor.
    """
    function = window.function
    if function is WindowFunction.LINEAR and window.width < 1:
        function = WindowFunction.LINEAR_EXACT  # C.11.2.1.2 demands a width of 1 or more
    low, high = (white, 0.0) if inverse else (0.0, white)
    return _FUNCTIONS[function](values.astype(np.float64), window, low, high)


def full_range(
    values: RealArray, low: float, high: float, white: float = WHITE, *, inverse: bool
) -> Reals:
    """Return display values in [0, white] of modality values between `low` and `high`, no VOI step.

    Every display value stands for an equal share of the range, the first and the last included.
    """
    share = (values.astype(np.float64) - low) / (high - low + 1.0)
    return white - share * (white - 1.0) if inverse else share * (white + 1.0)


def _linear(values: Reals, window: Window, low: float, high: float) -> Reals:
    width = window.width - 1.0
    center = window.center - 0.5
    if width == 0:
        return np.where(values > center, high, low)
    ramp = (high - (center / width + 0.5) * (high - low)) + values * ((high - low) / width)
    left, right = center - width / 2.0, center + width / 2.0
    return np.where(values <= left, low, np.where(values > right, high, ramp))


def _linear_exact(values: Reals, window: Window, low: float, high: float) -> Reals:
    left = window.center - window.width / 2.0
    right = window.center + window.width / 2.0
    ramp = (values - window.center) / window.width + 0.5
    ramp = low + ramp * (high - low)
    return np.where(values <= left, low, np.where(values > right, high, ramp))


def _sigmoid(values: Reals, window: Window, low: float, high: float) -> Reals:
    exponent = np.clip(-4.0 * (values - window.center) / window.width, -700.0, 700.0)
    return low + (high - low) / (1.0 + np.exp(exponent))


_FUNCTIONS: dict[WindowFunction, Callable[[Reals, Window, float, float], Reals]] = {
    WindowFunction.LINEAR: _linear,
    WindowFunction.LINEAR_EXACT: _linear_exact,
    WindowFunction.SIGMOID: _sigmoid,
}
