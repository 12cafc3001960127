"""The fixtures of the modules named below, for every test beside them."""

from tests.xds_registry.administered import desk
from tests.xds_registry.asking import ask
from tests.xds_registry.hub import hub, web
from tests.xds_registry.notified import broker, consumer, cx
from tests.xds_registry.registering import here, patient, registrar

__all__ = ["ask", "broker", "consumer", "cx", "desk", "here", "hub", "patient", "registrar", "web"]
