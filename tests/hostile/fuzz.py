"""Hunt with atheris (pip install atheris): `python -m tests.hostile.fuzz TARGET SECONDS [FOLDER]`.

Guided by coverage, so it goes where mutations alone do not; it ends with an error at the first
input that a target does not stand. Such an input goes into `found/`, for `test_fuzzing.py` to keep.
"""

import sys
import warnings
from pathlib import Path


def hunt(name: str, seconds: str, folder: str) -> None:
    import atheris

    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["image_archive", "dicom_router", "viewer_api"]):
        from tests.hostile.fuzz_targets import SEEDS, TARGETS
    corpus = Path(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=20000"]
    output = [f"-artifact_prefix={corpus.parent}/{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *output], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    hunt(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "corpus")
