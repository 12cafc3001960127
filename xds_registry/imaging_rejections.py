"""Instances that their makers have taken back: rejection notes (IHE RAD IOCM, RAD TF-2 4.66).

A rejection note is a Key Object Selection whose title says why. The instances it refers to stay in
the archive; the manifest of their study lists them no longer, nor the note itself.
"""

from collections.abc import Iterable

from image_archive.backend import ArchiveBackend
from image_archive.model import InstanceRecord
from image_archive.reading import read_dataset
from xds_registry.errors import XdsRefusalError
from xds_registry.imaging_manifests import KEY_OBJECT_SELECTION, READ_ERRORS, contents_of

# Why instances are rejected (PS3.16 CID 7011), in the scheme DCM.
_TITLES = frozenset({"113001", "113037", "113038", "113039"})


def without_rejected(
    backend: ArchiveBackend, instances: Iterable[InstanceRecord]
) -> list[InstanceRecord]:
    """Return the instances of one study that no rejection note among them takes back."""
    listed = list(instances)
    gone: set[str] = set()
    for instance in listed:
        if instance.sop_class_uid == KEY_OBJECT_SELECTION:
            gone |= _rejected_by(backend, instance)
    return [instance for instance in listed if instance.sop_instance_uid not in gone]


def _rejected_by(backend: ArchiveBackend, note: InstanceRecord) -> set[str]:
    """Return what a note takes back and the note itself, or nothing where it is another object."""
    try:
        with backend.open(note.storage_key) as stream:
            dataset = read_dataset(stream, stop_before_pixels=True)
        (title,) = dataset.ConceptNameCodeSequence
        if title.CodingSchemeDesignator != "DCM" or title.CodeValue not in _TITLES:
            return set()
        contents = contents_of(dataset)
    except (XdsRefusalError, *READ_ERRORS):
        return set()  # what cannot be read takes nothing back
    listed = (series for study in contents.studies for series in study.series)
    return {uid for series in listed for uid in series.sop_instance_uids} | {note.sop_instance_uid}
