"""The faults of WS-BaseNotification 1.3, as SOAP faults with their element in the Detail."""

from collections.abc import Iterable
from datetime import datetime

from lxml import etree

from xds_registry.soap import XML, FaultCode, SoapFaultError
from xds_registry.subscriptions_times import xsd_time
from xds_registry.vocabulary import RIM

WSNT = "http://docs.oasis-open.org/wsn/b-2"
BASE_FAULTS = "http://docs.oasis-open.org/wsrf/bf-2"
FAULT_ACTION = "http://docs.oasis-open.org/wsn/fault"
_PREFIXES = {"wsnt": WSNT, "wsrf-bf": BASE_FAULTS, "rim": RIM}


class NotificationFaultError(SoapFaultError):
    """A request that the notification broker cannot carry out; `name` is its element's."""

    action = FAULT_ACTION

    def __init__(
        self,
        name: str,
        words: tuple[str, str],
        now: datetime,
        more: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Make the fault `name` with (English, Chinese) `words`; `more` are its own elements."""
        en, zh = words
        super().__init__(FaultCode.SENDER, en, zh)
        self.detail = etree.Element(f"{{{WSNT}}}{name}", nsmap=_PREFIXES)
        timestamp = etree.SubElement(self.detail, f"{{{BASE_FAULTS}}}Timestamp")
        timestamp.text = xsd_time(now)
        for language, text in (("en", en), ("zh", zh)):
            description = etree.SubElement(self.detail, f"{{{BASE_FAULTS}}}Description")
            description.set(f"{{{XML}}}lang", language)
            description.text = text
        for tag, text in more:
            etree.SubElement(self.detail, f"{{{WSNT}}}{tag}").text = text


def creation_failed(en: str, zh: str, now: datetime) -> NotificationFaultError:
    """No subscription is made, for a reason that no other fault names."""
    return NotificationFaultError("SubscribeCreationFailedFault", (en, zh), now)


def invalid_filter(en: str, zh: str, now: datetime) -> NotificationFaultError:
    """The filter cannot be understood, so nobody could say what it would match."""
    unknown = [("UnknownFilter", "rim:AdhocQuery")]
    return NotificationFaultError("InvalidFilterFault", (en, zh), now, unknown)


def unacceptable_time(en: str, zh: str, now: datetime, latest: datetime) -> NotificationFaultError:
    """The end asked for has passed or lies too far ahead."""
    bounds = [("MinimumTime", xsd_time(now)), ("MaximumTime", xsd_time(latest))]
    return NotificationFaultError("UnacceptableInitialTerminationTimeFault", (en, zh), now, bounds)
