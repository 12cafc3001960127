"""Identifiers planted in as many places of one object as there are, and looked for in bytes."""

import base64
import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

_ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")
# Text attributes of patient, visit, study, series, equipment and image: a canary for each.
_TEXTS = [
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "ProtocolName",
    "PatientAddress",
    "PatientComments",
    "AdditionalPatientHistory",
    "ImageComments",
    "PatientTelephoneNumbers",
    "Occupation",
    "EthnicGroup",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepID",
    "ReasonForStudy",
    "AdmittingDiagnosesDescription",
    "OtherPatientIDs",
    "PatientID",
    "IssuerOfPatientID",
    "DerivationDescription",
    "ContrastBolusAgent",
    "CurrentPatientLocation",
    "MedicalAlerts",
    "Allergies",
    "AcquisitionComments",
    "FrameComments",
    "AdmissionID",
    "CountryOfResidence",
    "PatientReligiousPreference",
]
_NAMES = [
    "PatientName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "OtherPatientNames",
    "PatientMotherBirthName",
    "ResponsiblePerson",
]


class Canaries:
    """Words nobody else uses: latin ones and Chinese ones by turns."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}
        self.object = ""

    def word(self, place: str, *, chinese: bool = False) -> str:
        """Return the word planted at `place` of the object that is being made."""
        number = len(self.planted)
        # Rare characters of GB 2312's second level: no page of the hub has them side by side.
        latin = f"QXZ{number:03d}JVKW"
        word = "龏龘靐" + chr(0x9F98 - number) + "齾" if chinese else latin
        self.planted[f"{self.object} {place}".strip()] = word
        return word

    def found_in(self, data: bytes) -> set[str]:
        """Return the places whose word stands in `data` in any of a dozen forms."""
        return {
            place
            for place, word in self.planted.items()
            if any(form in data for form in _forms(word))
        }


def _forms(word: str) -> Iterator[bytes]:
    for coding in _ENCODINGS:
        try:
            plain = word.encode(coding)
        except UnicodeEncodeError:
            continue
        yield plain
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        for before in range(3):
            coded = base64.b64encode(b"\0" * before + plain)
            yield coded[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]


def planted_object(canaries: Canaries, uid: str, **attributes: object) -> bytes:
    """A JPEG CT with a canary in each of more than 60 places; return it as a Part 10 file."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    plant(dataset, canaries)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
    dataset.SOPInstanceUID = f"{uid}.1.1"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    _plant_codestream(dataset, canaries)
    return _file(dataset, canaries)


def plant(dataset: Dataset, canaries: Canaries) -> None:
    """Write a canary into each text, name, nested, private and odd place of an object."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for number, keyword in enumerate(_TEXTS):
        setattr(dataset, keyword, canaries.word(keyword, chinese=number % 3 == 0))
    for keyword in _NAMES:
        setattr(dataset, keyword, f"{canaries.word(keyword)}^{canaries.word(keyword + ' given')}")
    _plant_structures(dataset, canaries)
    _plant_odd_groups(dataset, canaries)


def _plant_structures(dataset: Dataset, canaries: Canaries) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "T-1", "99LOCAL"
    code.CodeMeaning = canaries.word("code meaning")
    dataset.ProcedureCodeSequence = Sequence([code])
    deep = Dataset()
    deep.PatientName = canaries.word("name three levels deep")
    deep.add_new(0x00091001, "LO", canaries.word("private, nested"))
    request = Dataset()
    request.ScheduledProcedureStepDescription = canaries.word("nested description")
    request.ReferencedStudySequence = Sequence([deep])
    dataset.RequestAttributesSequence = Sequence([request])
    other = Dataset()
    other.PatientID = canaries.word("other patient id, nested")
    dataset.OtherPatientIDsSequence = Sequence([other])


def _plant_odd_groups(dataset: Dataset, canaries: Canaries) -> None:
    block = dataset.private_block(0x0009, canaries.word("private creator"), create=True)
    block.add_new(0x01, "LO", canaries.word("private text", chinese=True))
    block.add_new(0x02, "UN", canaries.word("private unknown").encode())
    block.add_new(0x03, "OB", canaries.word("private bytes").encode("utf-16-le"))
    dataset.add_new(0x50000022, "LO", canaries.word("curve label"))
    dataset.add_new(0x50003000, "OW", canaries.word("curve data").encode())
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60000011, "US", 16)
    dataset.add_new(0x60000022, "LO", canaries.word("overlay description"))
    dataset.add_new(0x60001500, "LO", canaries.word("overlay label"))
    dataset.add_new(0x60003000, "OW", canaries.word("overlay data").encode().ljust(16))
    dataset.add_new(0x60004000, "LT", canaries.word("overlay comments"))
    dataset.add_new(0x00282000, "OB", canaries.word("ICC profile").encode().ljust(128, b"\0"))
    dataset.add_new(0xFFFCFFFC, "OB", canaries.word("trailing padding").encode())
    dataset.add_new(Tag(0x0400, 0x0520), "OB", canaries.word("encrypted content").encode())


def _plant_codestream(dataset: FileDataset, canaries: Canaries) -> None:
    """Baseline JPEG with a comment, an application segment, and bytes behind its end."""
    from pydicom.encaps import encapsulate

    values = dataset.pixel_array.astype(float)
    scaled = (values - values.min()) / (values.max() - values.min()) * 255
    stream = imagecodecs.jpeg8_encode(scaled.astype(np.uint8), level=90)
    comment = canaries.word("JPEG COM marker").encode()
    application = canaries.word("JPEG APP13 marker", chinese=True).encode("gb18030")
    marks = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    marks += b"\xff\xed" + struct.pack(">H", len(application) + 2) + application
    behind = canaries.word("behind the codestream").encode()
    dataset.PixelData = encapsulate([stream[:2] + marks + stream[2:] + behind])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    if "PixelPaddingValue" in dataset:
        del dataset.PixelPaddingValue


def _file(dataset: FileDataset, canaries: Canaries) -> bytes:
    meta = dataset.file_meta
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.SourceApplicationEntityTitle = canaries.word("file meta")
    meta.PrivateInformationCreatorUID = "1.2.3"
    meta.PrivateInformation = canaries.word("file meta, private").encode()
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    data = bytearray(out.getvalue())
    word = canaries.word("preamble").encode()
    data[: len(word)] = word
    return bytes(data)
