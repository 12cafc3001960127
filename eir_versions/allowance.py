"""What of a series the public may see: no face, no text; and what must be blackened before."""

from typing import Protocol

from eir_versions import reasons
from eir_versions.deidentification.boxes import Box
from eir_versions.deidentification.burned_in import FrameFacts
from eir_versions.deidentification.gate import Rules, TextGate
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import Picture, PictureJob
from eir_versions.recipes import Recipe
from eir_versions.selection import ImageInstance, SeriesFacts, Slice, refusal, thin_slice_refusal
from eir_versions.wire import InstanceFacts
from image_archive.model import SeriesRecord, StudyRecord

Masks = tuple[tuple[int, int, int, int], ...]


class FrameSource(Protocol):
    """Reads headers and draws frames (`eir_versions.study_renderer.StudyRenderer`)."""

    @property
    def texts(self) -> TextGate | None:
        """What looks for text in pictures; None where nothing does."""
        ...

    def facts(self, sop_instance_uid: str) -> InstanceFacts:
        """Return what the instance's own header says."""
        ...

    def draw(self, sop_instance_uid: str, job: PictureJob) -> Picture:
        """Return the picture of a job."""
        ...


class Allowance:
    """The rules of one recipe for one series."""

    def __init__(
        self, study: StudyRecord, series: SeriesRecord, recipe: Recipe, source: FrameSource
    ) -> None:
        self._study = study
        self._series = series
        self._recipe = recipe
        self._source = source

    def masks(self, shown: Slice) -> Masks:
        """Return what is to be blackened in a frame before it is shown; mostly nothing.

        Raises:
            UnrenderableInstanceError: it may not be shown, with the reason.
        """
        rule, image = self._recipe.exclusion, shown.instance
        if rule is None:
            return ()
        said = self._source.facts(image.sop_instance_uid)
        if said.shows_label:  # nobody can clear it: the patient's name is what it is for
            raise UnrenderableInstanceError(reasons.SLIDE_LABEL)
        facts = self._facts(image, said)
        texts, scan = self._source.texts, self._recipe.burned_in
        if texts is None or scan is None:
            reason = refusal(rule, facts)
        else:
            reason = thin_slice_refusal(rule, facts)
        if reason is not None:
            raise UnrenderableInstanceError(reason)
        if texts is None or scan is None:
            return ()
        masks = texts.masks(self._frame(shown, said), Rules(rule, scan), self._source.draw)
        return tuple((box.left, box.top, box.width, box.height) for box in masks)

    def _facts(self, image: ImageInstance, said: InstanceFacts) -> SeriesFacts:
        return SeriesFacts(
            modality=self._series.modality,
            descriptions=(
                self._series.body_part_examined,
                self._series.series_description,
                self._study.study_description,
                said.body_part,
                said.protocol,
            ),
            sop_class_uid=image.sop_class_uid,
            slice_thickness_mm=said.slice_thickness_mm,
            burned_in_annotation=said.burned_in_annotation,
        )

    def _frame(self, shown: Slice, said: InstanceFacts) -> FrameFacts:
        image = shown.instance
        return FrameFacts(
            sop_instance_uid=image.sop_instance_uid,
            frame_number=shown.frame_number,
            dataset_sha256=image.dataset_sha256,
            study_instance_uid=self._study.study_instance_uid,
            site_id=self._study.site_id,
            modality=self._series.modality,
            sop_class_uid=image.sop_class_uid,
            burned_in_annotation=said.burned_in_annotation,
            rows=said.rows,
            columns=said.columns,
            regions=tuple(Box(*region) for region in said.regions),
        )
