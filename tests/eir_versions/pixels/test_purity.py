import subprocess
import sys


def test_the_pipeline_imports_numpy_and_nothing_of_the_hub_or_of_dicom() -> None:
    probe = (
        "import sys, eir_versions.pixels;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {
        "pydicom",
        "sqlalchemy",
        "PIL",
        "hub_kernel",
        "imagecodecs",
        "image_archive",
    }
