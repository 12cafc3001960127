"""Put PDV fragments together into DIMSE messages, streaming datasets on (PS3.8 annex E, PS3.7 6.3).

Everything uses it: the fast lane, the service lane and what the node sends itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dicom_router.commands import Command, decode_command
from dicom_router.errors import AbortReason, ProtocolViolationError
from dicom_router.presentation import NegotiatedContext

_COMMAND = 0x01
_LAST = 0x02
_MAX_COMMAND_BYTES = 64 * 1024


class DatasetSink(Protocol):
    """Where the fragments of one dataset go."""

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes; they are valid during the call only."""
        ...

    def abandon(self) -> None:
        """Forget everything: the dataset will never be complete."""
        ...


@dataclass(frozen=True)
class Message:
    """One complete DIMSE message; `sink` has taken its dataset, None when it has none."""

    command: Command
    command_set: bytes
    context: NegotiatedContext
    sink: DatasetSink | None


OpenSink = Callable[[Command, NegotiatedContext], DatasetSink]


class BoundedBuffer:
    """A dataset small enough to be held in memory, as a C-FIND identifier."""

    def __init__(self, limit: int, *, keep: bool = True) -> None:
        self.data = bytearray()
        self._room = limit
        self._keep = keep

    def write(self, fragment: memoryview) -> None:
        """Keep the bytes (or only count them).

        Raises:
            ProtocolViolationError: more than the limit.
        """
        self._room -= len(fragment)
        if self._room < 0:
            raise ProtocolViolationError("the dataset of a request is too large")
        if self._keep:
            self.data += fragment

    def abandon(self) -> None:
        """Forget the bytes."""
        self.data.clear()


class DimseReceiver:
    """The messages of one association; `contexts` are the accepted ones by identifier.

    For each PDV call `begin`, `data` as often as bytes arrive, then `end`.
    """

    def __init__(self, contexts: Mapping[int, NegotiatedContext], open_sink: OpenSink) -> None:
        self._contexts = contexts
        self._open_sink = open_sink
        self._context: NegotiatedContext | None = None
        self._command_set = bytearray()
        self._command: Command | None = None
        self._sink: DatasetSink | None = None
        self._control = 0

    @property
    def between_messages(self) -> bool:
        """Tell whether no message is under way."""
        return self._context is None

    def begin(self, context_id: int, control: int) -> None:
        """Begin a fragment.

        Raises:
            ProtocolViolationError: a context that was not accepted, or a fragment out of turn.
        """
        context = self._contexts.get(context_id)
        if context is None:
            raise ProtocolViolationError(
                "a message in a presentation context that was not accepted",
                AbortReason.INVALID_PDU_PARAMETER,
            )
        is_command = bool(control & _COMMAND)
        if self._context not in (None, context) or is_command != (self._command is None):
            raise ProtocolViolationError(
                "a fragment of another message", AbortReason.UNEXPECTED_PDU_PARAMETER
            )
        self._context = context
        self._control = control

    def data(self, fragment: memoryview) -> None:
        """Take bytes of the fragment begun; raises what the sink raises, and on long commands."""
        if self._sink is not None:
            self._sink.write(fragment)
            return
        self._command_set += fragment
        if len(self._command_set) > _MAX_COMMAND_BYTES:
            raise ProtocolViolationError("a command set of more than 64 KiB")

    def end(self) -> Message | None:
        """End the fragment; return the message when it is complete.

        Raises:
            ProtocolViolationError: the command set cannot be read.
        """
        if not self._control & _LAST or self._context is None:
            return None
        if self._command is None:
            self._command = decode_command(bytes(self._command_set))
            if self._command.has_dataset:
                self._sink = self._open_sink(self._command, self._context)
                return None
        message = self.unfinished()
        self._reset()
        return message

    def unfinished(self) -> Message | None:
        """Return the message under way with the dataset as far as it has come, None before it."""
        if self._command is None or self._context is None:
            return None
        return Message(self._command, bytes(self._command_set), self._context, self._sink)

    def abandon(self) -> None:
        """Drop the message under way."""
        if self._sink is not None:
            self._sink.abandon()
        self._reset()

    def _reset(self) -> None:
        self._context = self._command = self._sink = None
        self._command_set = bytearray()
