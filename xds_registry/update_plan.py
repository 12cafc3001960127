"""An update that was understood: what follows what, under which ids (ITI TF-2 3.57.4.1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

from xds_registry.model import DocumentEntry, Folder, SubmissionSet, XdsAssociation
from xds_registry.update_operations import Operations

Versions = dict[str, DocumentEntry | Folder]
"""Versions of objects, by the id their next version was sent under."""


@dataclass(frozen=True)
class Plan:
    """An update that may be carried out; ids are those that will be registered.

    `versions` and `followers` are by the id of the new version as it was sent: what was, what will
    be. `ids` leads from ids as sent to those that will be registered.
    """

    submission_set: SubmissionSet
    operations: Operations
    versions: Versions
    followers: Versions
    associations: tuple[XdsAssociation, ...]
    ids: Mapping[str, str]

    def added(self) -> list[XdsAssociation]:
        """Return the associations that were submitted as such."""
        wanted = {self.ids[one.entry_uuid] for one in self.operations.additions}
        return [one for one in self.associations if one.entry_uuid in wanted]
