"""The recogniser child: reads text in one picture. Run by `text_finder` only, limited as decoders.

Models come from the installed package; the child has no way to the network.
"""

import functools
import io
import socket
import sys
from typing import Any, BinaryIO, NoReturn

import numpy as np
from PIL import Image

from eir_versions.decoding_child import serve

_MOST_BOXES = 200
_LONGEST_TEXT = 80


def main(arguments: list[str]) -> int:
    """Serve jobs until the parent closes the socket."""
    socket.socket.connect = _refused  # type: ignore[method-assign]
    _engine()  # its models take memory and time that no job should pay for
    return serve(arguments, {"text": _text})


def _refused(*_arguments: object) -> NoReturn:
    raise OSError("the recogniser works offline")


@functools.cache
def _engine() -> Any:
    from rapidocr import RapidOCR  # noqa: PLC0415 - an extra: only this process needs it

    one_thread = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return RapidOCR(params={"Global.log_level": "critical", **one_thread})


def _text(source: BinaryIO, _request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    with Image.open(io.BytesIO(source.read())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    found = _engine()(pixels, use_det=True, use_cls=False, use_rec=True)
    boxes = [] if found.boxes is None else found.boxes
    lines = zip(boxes, found.txts or (), found.scores or (), strict=True)
    return {"lines": [_line(*line) for line in list(lines)[:_MOST_BOXES]]}, b""


def _line(corners: Any, text: str, score: float) -> dict[str, Any]:
    left, top = (float(edge) for edge in corners.min(axis=0))
    right, bottom = (float(edge) for edge in corners.max(axis=0))
    box = [int(left), int(top), int(right - left) + 1, int(bottom - top) + 1]
    return {"box": box, "text": str(text)[:_LONGEST_TEXT], "score": float(score)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
