"""The description of a version: what the registry files as the version's document (JSON).

It names everything the version is made of and what it shows, with digests; no patient's name.
"""

import json
from typing import Any

from eir_versions.model import Draft, VersionPicture
from eir_versions.recipes import Recipe

MEDIA_TYPE = "application/json"


def version_document(draft: Draft, recipe: Recipe) -> bytes:
    """Return the description of a version that is about to be recorded; the same each time."""
    described: dict[str, Any] = {
        "version_id": draft.version_id,
        "study_instance_uid": draft.study_instance_uid,
        "generation": draft.generation,
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": draft.recipe_digest,
            "title": {"zh": recipe.recipe.title_zh, "en": recipe.recipe.title_en},
            "notice": {"zh": recipe.recipe.notice_zh, "en": recipe.recipe.notice_en},
        },
        "renderer_version": draft.renderer_version,
        "inputs_sha256": draft.inputs_sha256,
        "selection": draft.selection,
        "reason": draft.reason,
        "sources": [
            {
                "sop_instance_uid": one.sop_instance_uid,
                "series_instance_uid": one.series_instance_uid,
                "dataset_sha256": one.dataset_sha256,
                "reason": one.reason,
            }
            for one in draft.sources
        ],
        "pictures": [_picture(one) for one in draft.pictures],
        "reports": [{"report_id": one, "standing": standing} for one, standing in draft.reports],
    }
    return json.dumps(described, ensure_ascii=False, indent=1, sort_keys=True).encode()


def _picture(picture: VersionPicture) -> dict[str, Any]:
    return {
        "kind": picture.kind.value,
        "series_instance_uid": picture.series_instance_uid,
        "sop_instance_uid": picture.sop_instance_uid,
        "frame_number": picture.frame_number,
        "media_type": picture.media_type,
        "width": picture.width,
        "height": picture.height,
        "sha256": picture.sha256,
        "inputs_sha256": picture.inputs_sha256,
        "compression_ratio": picture.compression_ratio,
        "psnr_db": picture.psnr_db,
        "ssim": picture.ssim,
    }
