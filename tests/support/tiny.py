"""The smallest dataset and the training on it."""

from pathlib import Path

CONFIG = "tests/configs/tiny_pcb.py"


def tiny_options(dataset: Path) -> dict[str, str]:
    """Overrides that make CONFIG train on OpenMoji-LT *tiny* in this folder."""
    return {
        f"data.{split}.{key}": str(dataset / path)
        for split, folder in (("train", "train"), ("val", "val"), ("test", "val_prior"))
        for key, path in (("ann_file", f"annotations/{folder}.json"), ("img_prefix", folder))
    }
