"""What tests of several parts share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_openmoji(tmp_path_factory) -> Path:
    """OpenMoji-LT in its smallest size: 8 classes, 24 training images."""
    from pcb.datasets.openmoji import make_openmoji

    return make_openmoji(tmp_path_factory.mktemp("data") / "tiny", size="tiny", progress=False)


@pytest.fixture(scope="session")
def tiny_options(tiny_openmoji) -> dict:
    """Overrides that make ``tests/configs/tiny_pcb.py`` train on it."""
    return {
        f"data.{split}.{key}": str(tiny_openmoji / path)
        for split, folder in (("train", "train"), ("val", "val"), ("test", "val_prior"))
        for key, path in (("ann_file", f"annotations/{folder}.json"), ("img_prefix", folder))
    }
