"""SMART Health Links (HL7 SMART Health Cards and Links 1.0): the door for apps beside the page."""

from viewer_api.health_links.routes import blueprint

__all__ = ["blueprint"]
