"""Pictures of whole-slide pathology that show what is written on the glass (PS3.3 C.8.12.1, .4)."""

from pydicom.dataset import Dataset

from eir_versions.headers import text, value_of

_FLAVORS = frozenset({"LABEL", "OVERVIEW"})


def shows_label(dataset: Dataset) -> bool:
    """Tell whether an instance may show the slide's label: a label or overview, or it says so.

    Image Type decides, and Specimen Label in Image; Burned In Annotation is not believed.
    """
    words = value_of(dataset, "ImageType")
    flavors = {words} if isinstance(words, str) else set(words or ())
    named = {str(word).strip().upper() for word in flavors} & _FLAVORS
    return bool(named) or text(dataset, "SpecimenLabelInImage").upper() == "YES"
