"""A whole slide of three levels with marks in known places, and its label; tiles are JPEG.

The slide is pale; a purple block lies at `PURPLE`, a green one at `GREEN`, in pixels of the finest
level. The middle level is sparse and lists its tiles backwards. The last level has one tile, partly
filled up.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import JPEGBaseline8Bit

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
STUDY = "2.25.90591"
SERIES, UNSCALED = f"{STUDY}.1", f"{STUDY}.2"
TILE = 256
WIDTH, HEIGHT = 2048, 1536
FACTORS = (1, 4, 16)
MICROMETRES = 0.5
PALE, PURPLE_COLOUR, GREEN_COLOUR = (238, 225, 235), (96, 40, 130), (40, 160, 70)
# left, top, right, bottom
PURPLE, GREEN = (1280, 512, 1536, 768), (128, 1152, 384, 1408)


@dataclass(frozen=True)
class Options:
    """What may be asked of one instance."""

    flavor: str = "VOLUME"
    sparse: bool = False
    scaled: bool = True
    study: str = STUDY
    name: str = "Gu^Ping=顾^平"
    description: str = "胃窦活检 HE"


def everything() -> Iterator[bytes]:
    """Yield the slide's levels, its label, and one level of a slide that gives no size."""
    for factor in FACTORS:
        yield level(SERIES, factor, sparse=factor == 4)
    yield level(SERIES, 0, flavor="LABEL")
    yield level(UNSCALED, 16, scaled=False)


def painted(factor: int) -> np.ndarray:
    """Return the slide at a level, (rows, columns, 3)."""
    pixels = np.empty((HEIGHT // factor, WIDTH // factor, 3), np.uint8)
    pixels[:] = PALE
    for (left, top, right, bottom), colour in ((PURPLE, PURPLE_COLOUR), (GREEN, GREEN_COLOUR)):
        pixels[top // factor : bottom // factor, left // factor : right // factor] = colour
    return pixels


def level(series: str, factor: int, **options: Any) -> bytes:
    """Return one instance; factor 0 is a dark label."""
    made = Options(**options)
    pixels = painted(factor) if factor else np.full((64, 96, 3), 30, np.uint8)
    high, wide = pixels.shape[:2]
    columns, rows = -(-wide // TILE), -(-high // TILE)
    padded = np.zeros((rows * TILE, columns * TILE, 3), np.uint8)
    padded[:high, :wide] = pixels
    places = [(column, row) for row in range(rows) for column in range(columns)]
    dataset = _common(series, f"{series}.{factor + 1}", made)
    dataset.ImageType = ["DERIVED", "PRIMARY", made.flavor, "RESAMPLED"]
    dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows = wide, high
    dataset.DimensionOrganizationType = "TILED_SPARSE" if made.sparse else "TILED_FULL"
    if made.sparse:
        places = places[::-1]
        dataset.PerFrameFunctionalGroupsSequence = Items([_group(*place) for place in places])
    if made.scaled:
        shared, measures = Dataset(), Dataset()
        spacing = MICROMETRES * max(factor, 1) / 1000
        measures.PixelSpacing = [spacing, spacing]
        shared.PixelMeasuresSequence = Items([measures])
        dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.NumberOfFrames = len(places)
    dataset.PixelData = encapsulate([_tile(padded, *place) for place in places])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _tile(pixels: np.ndarray, column: int, row: int) -> bytes:
    part = pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(part), 95, "RGB", "444")
    return data + b"\0" * (len(data) % 2)


def _group(column: int, row: int) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = column * TILE + 1
    position.RowPositionInTotalImagePixelMatrix = row * TILE + 1
    group.PlanePositionSlideSequence = Items([position])
    return group


def _common(series: str, uid: str, made: Options) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = WHOLE_SLIDE, uid
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "GB18030"
    dataset.SOPClassUID, dataset.SOPInstanceUID = WHOLE_SLIDE, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = made.study, series
    dataset.StudyDate, dataset.StudyTime = "20260914", "143000"
    dataset.PatientName, dataset.PatientID = made.name, f"S{made.study[5:]}"
    dataset.PatientSex, dataset.PatientBirthDate = "F", "19550706"
    dataset.AccessionNumber, dataset.StudyID = "P20260914", "1"
    dataset.Modality, dataset.SeriesNumber = "SM", int(series[-1])
    dataset.SeriesDescription = made.description
    dataset.InstanceNumber = int(uid.rsplit(".", 1)[1])
    dataset.Rows = dataset.Columns = TILE
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "YBR_FULL_422"
    dataset.BurnedInAnnotation = dataset.SpecimenLabelInImage = "NO"
    return dataset
