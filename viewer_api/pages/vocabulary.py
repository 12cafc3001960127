"""DICOM codes in the reader's words: modality (PS3.3 C.7.3.1.1.1), body part (PS3.16 Annex L), sex.

A code without a word is shown as it came: nothing is hidden because a table is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.pages.words import gettext, lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Iterable

MODALITY_WORDS = {
    "CR": lazy_gettext("X-ray"),
    "CT": lazy_gettext("CT scan"),
    "DOC": lazy_gettext("Document"),
    "DX": lazy_gettext("X-ray"),
    "ECG": lazy_gettext("Electrocardiogram"),
    "ES": lazy_gettext("Endoscopy"),
    "IO": lazy_gettext("Dental X-ray"),
    "KO": lazy_gettext("Key images"),
    "MG": lazy_gettext("Mammography"),
    "MR": lazy_gettext("MR scan"),
    "NM": lazy_gettext("Nuclear medicine scan"),
    "OT": lazy_gettext("Other pictures"),
    "PR": lazy_gettext("Presentation state"),
    "PT": lazy_gettext("PET scan"),
    "PX": lazy_gettext("Dental X-ray"),
    "RF": lazy_gettext("Fluoroscopy"),
    "RTDOSE": lazy_gettext("Radiotherapy"),
    "RTPLAN": lazy_gettext("Radiotherapy"),
    "RTSTRUCT": lazy_gettext("Radiotherapy"),
    "SEG": lazy_gettext("Segmentation"),
    "SM": lazy_gettext("Pathology slides"),
    "SR": lazy_gettext("Structured report"),
    "US": lazy_gettext("Ultrasound"),
    "XA": lazy_gettext("Angiography"),
}

# Modalities whose series hold no pictures: reports, selections, states, documents, plans.
WITHOUT_PICTURES = frozenset({"DOC", "ECG", "KO", "PR", "REG", "RTPLAN", "RTSTRUCT", "SR"})

BODY_PART_WORDS = {
    "ABDOMEN": lazy_gettext("Abdomen"),
    "ANKLE": lazy_gettext("Ankle"),
    "BRAIN": lazy_gettext("Brain"),
    "BREAST": lazy_gettext("Breast"),
    "CHEST": lazy_gettext("Chest"),
    "CSPINE": lazy_gettext("Cervical spine"),
    "ELBOW": lazy_gettext("Elbow"),
    "EXTREMITY": lazy_gettext("Limb"),
    "FOOT": lazy_gettext("Foot"),
    "HAND": lazy_gettext("Hand"),
    "HEAD": lazy_gettext("Head"),
    "HEART": lazy_gettext("Heart"),
    "HIP": lazy_gettext("Hip"),
    "KNEE": lazy_gettext("Knee"),
    "LIVER": lazy_gettext("Liver"),
    "LSPINE": lazy_gettext("Lumbar spine"),
    "NECK": lazy_gettext("Neck"),
    "PELVIS": lazy_gettext("Pelvis"),
    "SHOULDER": lazy_gettext("Shoulder"),
    "SKULL": lazy_gettext("Skull"),
    "SPINE": lazy_gettext("Spine"),
    "THYROID": lazy_gettext("Thyroid"),
    "TSPINE": lazy_gettext("Thoracic spine"),
    "WHOLEBODY": lazy_gettext("Whole body"),
    "WRIST": lazy_gettext("Wrist"),
}

DISCIPLINES = {
    "radiology": frozenset({"CR", "CT", "DX", "IO", "MG", "MR", "PX", "RF", "XA"}),
    "ultrasound": frozenset({"IVUS", "US"}),
    "endoscopy": frozenset({"ES", "GM"}),
    "pathology": frozenset({"SM"}),
    "nuclear": frozenset({"NM", "PT"}),
}

DISCIPLINE_WORDS = {
    "radiology": lazy_gettext("Radiology"),
    "ultrasound": lazy_gettext("Ultrasound"),
    "endoscopy": lazy_gettext("Endoscopy"),
    "pathology": lazy_gettext("Pathology"),
    "nuclear": lazy_gettext("Nuclear medicine"),
    "other": lazy_gettext("Other"),
}

SEX_WORDS = {
    "F": lazy_gettext("Female"),
    "M": lazy_gettext("Male"),
    "O": lazy_gettext("Other sex"),
}

SET_ASIDE_WORDS = {
    "conflicting_instance": lazy_gettext(
        "The same picture number came before with other content. The first one stays; "
        "send the examination again under new numbers or call the regional centre."
    ),
    "conflicting_study": lazy_gettext(
        "The examination number belongs to another patient. Check the patient at the modality, "
        "then send again."
    ),
    "contradicting_patient": lazy_gettext(
        "The patient is somebody else than this patient number says. Check the patient at the "
        "modality; the regional centre decides."
    ),
    "unreadable": lazy_gettext(
        "The picture cannot be read. Send it again; if it comes back here, call the regional "
        "centre."
    ),
    "unknown_sender": lazy_gettext(
        "Nobody knows the device that sent it. The regional centre enters it under its site, then "
        "takes the picture."
    ),
}

ROLE_WORDS = {
    "auditor": lazy_gettext("Auditor"),
    "clinician": lazy_gettext("Clinician"),
    "document_source": lazy_gettext("Document source"),
    "data_steward": lazy_gettext("Data steward"),
    "edge": lazy_gettext("Township gateway"),
    "engineer": lazy_gettext("Engineer"),
    "manager": lazy_gettext("Manager"),
    "radiologist": lazy_gettext("Radiologist"),
    "registrar": lazy_gettext("Registrar"),
    "technician": lazy_gettext("Technician"),
}


def modality_word(code: str) -> str:
    """Return what a layperson calls the modality `code`."""
    return str(MODALITY_WORDS.get(code, code))


def body_part_word(code: str) -> str:
    """Return the body part `code` in the reader's language, as it was sent where it is unknown."""
    return known_body_part_word(code) or code


def known_body_part_word(code: str) -> str:
    """Return the body part `code` in the reader's language; nothing of what a device made up."""
    return str(BODY_PART_WORDS.get(code.replace(" ", "").upper(), ""))


def sex_word(code: str) -> str:
    """Return the sex `code` in the reader's language; unknown is said, not left empty."""
    return str(SEX_WORDS.get(code, "")) or gettext("Sex unknown")


def disciplines_of(modalities: Iterable[str]) -> frozenset[str]:
    """Return the names of the disciplines that `modalities` belong to, at least `other`."""
    asked = frozenset(modalities)
    found = frozenset(name for name, codes in DISCIPLINES.items() if codes & asked)
    return found or frozenset({"other"})
