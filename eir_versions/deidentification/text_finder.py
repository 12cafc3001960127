"""Finds text in a picture, offline, in a child process with the limits of a decoder.

The recogniser is an extra (`pip install eirhub[burned-in]`); without it nothing is found and
`available` is False, so that whoever asks can hold what it cannot judge.
"""

import io
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.deidentification.boxes import Box, TextBox
from eir_versions.errors import UnrenderableInstanceError

_CHILD = "eir_versions.deidentification.text_child"
_JOBS_PER_CHILD = 200
_PARTS = ("rapidocr", "onnxruntime")


class TextFinder:
    """One child that is started with the first picture; `stop` ends it."""

    def __init__(
        self, memory_mb: int = 2048, timeout_s: float = 60.0, *, wanted: bool = True
    ) -> None:
        self._wanted = wanted
        limits = PoolLimits(1, memory_mb, timeout_s, _JOBS_PER_CHILD)
        self._pool = DecoderPool(limits, child=_CHILD)

    @property
    def available(self) -> bool:
        """Say whether the recogniser is installed and wanted."""
        return self._wanted and all(find_spec(name) is not None for name in _PARTS)

    @property
    def name(self) -> str:
        """Name and version of what looks for text; empty where there is nothing."""
        try:
            return f"{_PARTS[0]}-{version(_PARTS[0])}" if self.available else ""
        except PackageNotFoundError:
            return ""

    def find(self, picture: bytes) -> tuple[TextBox, ...]:
        """Return the text in an encoded picture, in pixels of that picture.

        Raises:
            UnrenderableInstanceError: the child failed on it.
            DecoderPoolStoppedError: `stop` was called.
        """
        head = self._pool.answer(io.BytesIO(picture), {"operation": "text"})
        try:
            return tuple(_text_box(line) for line in head["lines"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnrenderableInstanceError("decoder_crashed") from error

    def stop(self) -> None:
        """End the child."""
        self._pool.stop()


def _text_box(line: dict[str, Any]) -> TextBox:
    left, top, width, height = (int(edge) for edge in line["box"])
    return TextBox(Box(left, top, width, height), str(line["text"])[:80], float(line["score"]))
