"""What both lanes answer by themselves: C-STORE, C-ECHO, and a clear no to the unknown."""

from collections.abc import Callable

from dicom_router.answer import Answer
from dicom_router.commands import CommandField
from dicom_router.dimse_receiver import Message
from dicom_router.handlers.c_store import StoreReception
from dicom_router.model import Tally
from dicom_router.statuses import NO_DATASET, SUCCESS, UNRECOGNIZED_OPERATION


def answer_locally(message: Message, tally: Tally) -> Answer | None:
    """Return the answer to a complete message; None for what is to be passed over in silence.

    Responses nobody asked for and a C-CANCEL of nothing are passed over (PS3.7 9.3.2.3).
    """
    if not message.command.wants_answer:
        return None
    return _SERVICES.get(message.command.field, _unrecognized)(message, tally)


def _c_store(message: Message, tally: Tally) -> Answer:
    if isinstance(message.sink, StoreReception):
        return message.sink.finish()
    tally.count(f"refused 0x{NO_DATASET.status:04X}")
    return NO_DATASET


def _c_echo(_message: Message, tally: Tally) -> Answer:
    """Verification SCP (PS3.4 annex A): alive, whatever else is refused."""
    tally.count("echo")
    return SUCCESS


def _unrecognized(_message: Message, tally: Tally) -> Answer:
    tally.count("unrecognized operation")
    return UNRECOGNIZED_OPERATION


_SERVICES: dict[int, Callable[[Message, Tally], Answer]] = {
    CommandField.C_STORE_RQ: _c_store,
    CommandField.C_ECHO_RQ: _c_echo,
}
