"""An answer that came while the reading thread should rest is there for who asked."""

from collections.abc import Callable

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider

from tests.support.pynetdicom_answers import _get_msg


def taken_by_the_reading_thread(association: Association) -> bool:
    """Let the reading thread look for a message after who asks has begun to wait for it."""
    association.dimse.msg_queue.put((1, "an answer"))  # type: ignore[arg-type]
    association._reactor_checkpoint.clear()
    return association.dimse.get_msg(block=False) != (None, None)


def test_an_answer_is_left_to_who_asked() -> None:
    association = Association(AE("A"), "requestor")
    assert DIMSEServiceProvider.get_msg is _get_msg, "the tests run with it"
    assert not taken_by_the_reading_thread(association)
    assert association.dimse.get_msg(block=True) == (1, "an answer")


def test_a_request_is_served_by_the_reading_thread() -> None:
    association = Association(AE("A"), "requestor")
    association.dimse.msg_queue.put((1, "a request"))  # type: ignore[arg-type]
    assert association.dimse.get_msg(block=False) == (1, "a request")


def test_control_pynetdicom_by_itself_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stock(self: DIMSEServiceProvider, block: bool = False) -> object:  # noqa: FBT001, FBT002
        return self.msg_queue.get(block=block, timeout=self.dimse_timeout)

    given: Callable[..., object] = stock
    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", given)
    assert taken_by_the_reading_thread(Association(AE("A"), "requestor"))
