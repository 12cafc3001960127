"""Small pictures from the first bytes of a master: the same as from all of it."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from eir_versions.codecs import decode_frame
from eir_versions.errors import FrameNotFoundError
from eir_versions.instance_file import InstanceFile, PixelElement, open_instance
from eir_versions.jobs import PictureJob
from eir_versions.master_making import HtMasterMaker
from eir_versions.pictures import make_picture
from eir_versions.reduced import halvings_for, prefix_bytes, reduced_frame
from tests.eir_versions.builders import TEST_FILES, image_dataset, opened, part10
from tests.support.in_process_frames import InProcessFrames

Pixels = NDArray[Any]


def master_of(original: bytes) -> bytes:
    out = io.BytesIO()
    HtMasterMaker(InProcessFrames()).make(lambda: io.BytesIO(original), out)
    return out.getvalue()


def ct() -> bytes:
    return (TEST_FILES / "CT_small.dcm").read_bytes()


def cr() -> bytes:
    rows, columns = np.mgrid[:1024, :880]
    noise = np.random.default_rng(1).normal(0, 8, rows.shape)
    pixels = 2000 + 1500 * np.sin(columns / 200) * np.cos(rows / 260) + noise
    return part10(image_dataset(pixels.astype("<u2"), BitsStored=12, HighBit=11))


def us() -> bytes:
    rows, columns = np.mgrid[:480, :640]
    one = (128 + 100 * np.sin(columns / 31) * np.cos(rows / 17)).astype("u1")
    dataset = image_dataset(np.zeros((480, 640), "u1"))
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.PixelData = np.stack([one, one[::-1], one[:, ::-1]], -1).tobytes()
    return part10(dataset)


class Counted(io.BytesIO):
    """Counts the bytes read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.count += len(found)
        return found


@pytest.mark.parametrize("make", [ct, cr, us])
def test_an_eighth_comes_from_the_first_bytes_alone(make: Any) -> None:
    content = master_of(make())
    source = Counted(content)
    instance = open_instance(source)
    source.count = 0
    small = reduced_frame(instance, 1, 3)
    whole = opened(content).frame_bytes(1)
    of_all = imagecodecs.htj2k_decode(whole, planar=False, skipres=3)
    np.testing.assert_array_equal(small.values, of_all)
    needed = prefix_bytes(whole[:512], 3)
    assert needed is not None
    assert source.count <= max(needed, 512) + 100 < len(whole) / 4
    # The control: fewer bytes give another picture.
    less = imagecodecs.htj2k_decode(
        whole[: needed * 2 // 3], planar=False, skipres=3, resilient=True
    )
    assert not np.array_equal(less, of_all)


def test_it_is_near_the_mean_of_what_it_stands_for() -> None:
    instance = opened(master_of(cr()))
    values = decode_frame(instance, 1).values.astype(float)
    means = values.reshape(128, 8, 110, 8).mean((1, 3))
    # The low-pass samples of JPEG 2000 lie on every eighth pixel, less its noise.
    assert np.abs(reduced_frame(instance, 1, 3).values - values[::8, ::8]).mean() < 8
    assert np.abs(reduced_frame(opened(cr()), 1, 3).values - means).max() < 1


def test_every_frame_of_a_master_is_found() -> None:
    frames = (np.arange(4 * 40 * 48) * 7 % 900).astype("<i2").reshape(4, 40, 48)
    instance = opened(master_of(part10(image_dataset(frames))))
    for number in range(1, 5):
        small = reduced_frame(instance, number, 1).values
        assert abs(float(small.mean()) - frames[number - 1].mean()) < 30
    with pytest.raises(FrameNotFoundError):
        reduced_frame(instance, 5, 1)


def test_a_codestream_that_says_nothing_of_its_parts_is_decoded_whole() -> None:
    instance = opened(cr())
    content = master_of(cr())
    blind = bytearray(content)
    blind[content.index(b"\xff\x55", 300)] = 0xFE  # no TLM any more
    assert prefix_bytes(bytes(blind[-100:]), 3) is None
    stream = opened(content).frame_bytes(1)
    assert prefix_bytes(stream[:512], 30) is None
    assert instance.header.layout.rows == 1024


def test_nothing_is_halved_below_what_is_asked_or_where_means_are_no_pixels() -> None:
    header = opened(cr()).header
    assert halvings_for(header, (110, 128)) == 3
    assert halvings_for(header, (111, 128)) == 2
    assert halvings_for(header, (880, 1024)) == 0
    palette = image_dataset(np.zeros((64, 64), "u1"), PhotometricInterpretation="PALETTE COLOR")
    assert halvings_for(opened(part10(palette)).header, (8, 8)) == 0


@pytest.mark.parametrize("make", [ct, cr, us])
def test_a_small_picture_looks_the_same_by_either_way(make: Any) -> None:
    job = PictureJob(box=(64, 64), quality=95)
    plain = _shown(opened(make()), job)
    for content in (make(), master_of(make())):
        found = _shown(opened(content), PictureJob(box=(64, 64), quality=95, reduced=True))
        assert found.shape == plain.shape
        assert np.corrcoef(found.ravel(), plain.ravel())[0, 1] > 0.97


def _shown(instance: InstanceFile, job: PictureJob) -> Pixels:
    assert isinstance(instance.element, PixelElement)
    picture: Pixels = simplejpeg.decode_jpeg(make_picture(instance, job).data)
    return picture
