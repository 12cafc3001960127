"""The decoder child: a process that may be killed by the bytes it reads. Run by `decoding` only.

It holds no secret, opens nothing but what it is handed, and dies with the process that started it.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from eir_versions import reasons
from eir_versions.cine import encode_segment, segment_head
from eir_versions.codecs import decode_frame
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.headers import text, ultrasound_regions
from eir_versions.instance_file import open_instance
from eir_versions.lossless import encode_frame
from eir_versions.pet import suv_of
from eir_versions.pictures import make_picture
from eir_versions.presentation_states import open_presentation_state
from eir_versions.reframing import reframed
from eir_versions.reports.structured import read_key_object, read_report, report_answer
from eir_versions.slide_labels import shows_label
from eir_versions.steps import pipeline_steps
from eir_versions.transforms import slice_thickness_mm
from eir_versions.wire import (
    WireError,
    job_from_json,
    picture_head,
    receive_message,
    send_message,
    surroundings_head,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MAX_DESCRIPTORS = 64
_Answer = tuple[dict[str, Any], bytes]
Operations = Mapping[str, Callable[[BinaryIO, dict[str, Any]], _Answer]]


def main(arguments: list[str]) -> int:
    """Serve jobs until the parent closes the socket: arguments are fd, parent PID, memory in MB."""
    return serve(arguments, _OPERATIONS)


def serve(arguments: list[str], operations: Operations) -> int:
    """Serve jobs of these kinds, within the limits every such child has."""
    descriptor, parent, memory_mb = (int(argument) for argument in arguments)
    _tie_to_parent(parent)
    warnings.simplefilter("ignore")
    _limit_memory(memory_mb)
    connection = socket.socket(fileno=descriptor)
    with contextlib.suppress(WireError, OSError):
        send_message(connection, {"ready": True})
        while True:
            _serve_one(connection, operations)
    return 0


def _serve_one(connection: socket.socket, operations: Operations) -> None:
    request, _, descriptors = receive_message(connection)
    if not descriptors:
        raise WireError("no descriptor")
    send_message(connection, {"accepted": True})
    _limit_cpu(float(request["cpu_s"]))
    with contextlib.ExitStack() as stack:
        sources: list[BinaryIO] = [
            stack.enter_context(os.fdopen(item, "rb")) for item in descriptors
        ]
        head, body = _answer(request, sources, operations)
    send_message(connection, head, body)


def _answer(request: dict[str, Any], sources: list[BinaryIO], operations: Operations) -> _Answer:
    try:
        for source in sources:
            source.seek(0)
        if len(sources) > 1:
            return _presented(sources[0], sources[1], request)
        return operations[request["operation"]](sources[0], request)
    except UnrenderableInstanceError as error:
        return {"error": error.reason}, b""
    except FrameNotFoundError:
        return {"error": reasons.NO_SUCH_FRAME}, b""
    except MemoryError:
        return {"error": reasons.DECODER_OUT_OF_MEMORY}, b""
    except Exception:  # noqa: BLE001 - outermost edge: hostile bytes reach every library in here
        return {"error": reasons.UNREADABLE}, b""


def _picture(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    picture = make_picture(open_instance(source), job_from_json(request["job"]))
    return picture_head(picture), picture.data


def _presented(source: BinaryIO, presentation: BinaryIO, request: dict[str, Any]) -> _Answer:
    """A picture, or the steps to it, as a presentation state has it."""
    state, instance = open_presentation_state(presentation), open_instance(source)
    job = job_from_json(request["job"])
    if request["operation"] == "steps":
        return {"steps": pipeline_steps(instance, job, state)}, b""
    picture = make_picture(instance, job, state)
    return picture_head(picture), picture.data


def _presented_images(source: BinaryIO, _request: dict[str, Any]) -> _Answer:
    state = open_presentation_state(source)
    named = [(found.sop_instance_uid, found.frame_numbers) for found in state.references]
    return {"created": state.created}, json.dumps(named).encode()


def _frame(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    instance = open_instance(source)
    data = instance.frame_bytes(int(request["frame_number"]))
    return {"transfer_syntax_uid": instance.header.transfer_syntax_uid}, data


def _native(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    instance = open_instance(source)
    decoded = decode_frame(instance, int(request["frame_number"]))
    layout = instance.header.layout
    kind = "f" if layout.floating else "i" if layout.signed else "u"
    sample = np.dtype(f"<{kind}{max(1, layout.bits_allocated // 8)}")
    data = np.ascontiguousarray(decoded.values).astype(sample, copy=False).tobytes()
    return {"photometric": decoded.photometric}, data


def _encoded(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    syntax = str(request["transfer_syntax_uid"])
    data, photometric = encode_frame(open_instance(source), int(request["frame_number"]), syntax)
    return {"photometric": photometric}, data


def _surroundings(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    changes = {int(tag): (vr, bytes.fromhex(value)) for tag, vr, value in request["changes"]}
    found = reframed(source, changes, implicit=bool(request["implicit"]))
    return surroundings_head(found), found.before + found.after


def _movie(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    segment = encode_segment(open_instance(source), int(request["first_frame"]))
    return segment_head(segment), segment.data


def _layout(source: BinaryIO, _request: dict[str, Any]) -> _Answer:
    header = open_instance(source).header
    head = {
        "number_of_frames": header.number_of_frames,
        "samples": header.layout.samples,
        "bits_allocated": header.layout.bits_allocated,
        "frame_bits": header.layout.frame_bits,
        "floating": header.layout.floating,
    }
    return head, b""


def _facts(source: BinaryIO, _request: dict[str, Any]) -> _Answer:
    instance = open_instance(source)
    suv = suv_of(instance.dataset)
    head = {
        "number_of_frames": instance.header.number_of_frames,
        "slice_thickness_mm": slice_thickness_mm(instance.dataset),
        "burned_in_annotation": text(instance.dataset, "BurnedInAnnotation").upper(),
        "body_part": text(instance.dataset, "BodyPartExamined").upper(),
        "rows": instance.header.layout.rows,
        "columns": instance.header.layout.columns,
        "regions": ultrasound_regions(instance.dataset),
        "suv_factor": suv.factor,
        "suv_missing": suv.missing,
        "shows_label": shows_label(instance.dataset),
        "protocol": text(instance.dataset, "ProtocolName"),
    }
    return head, b""


def _steps(source: BinaryIO, request: dict[str, Any]) -> _Answer:
    steps = pipeline_steps(open_instance(source), job_from_json(request["job"]))
    return {"steps": steps}, b""


def _report(source: BinaryIO, _request: dict[str, Any]) -> _Answer:
    return report_answer(read_report(source))


def _key_object(source: BinaryIO, _request: dict[str, Any]) -> _Answer:
    title, selected = read_key_object(source)
    return {"title": title}, json.dumps(selected).encode()


def _tie_to_parent(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request above took effect
        sys.exit(1)


def _limit_memory(memory_mb: int) -> None:
    """Cap the address space above what the libraries took; no file can grow, no core be dumped."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    ceiling = pages * resource.getpagesize() + memory_mb * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_DESCRIPTORS, _MAX_DESCRIPTORS))


def _limit_cpu(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


_OPERATIONS: Operations = {
    "picture": _picture,
    "presented_images": _presented_images,
    "frame": _frame,
    "native": _native,
    "facts": _facts,
    "layout": _layout,
    "encoded": _encoded,
    "surroundings": _surroundings,
    "movie": _movie,
    "steps": _steps,
    "report": _report,
    "key_object": _key_object,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
