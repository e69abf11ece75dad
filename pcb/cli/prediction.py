"""``pcb predict``: detect objects in any images, and draw them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.cli.options import add_command, add_number, add_settings, add_trust, parse_cfg_options
from pcb.messages.printable import display_names, printable
from pcb.messages.ranges import SCORE_THRESHOLD
from pcb.messages.terminal import outliving_terminal
from pcb.runs.processes import PREDICTION
from pcb.storage.files import check_folder, check_output
from pcb.storage.writing import writing_alone

if TYPE_CHECKING:
    import numpy as np


def add_commands(commands: Any) -> None:
    """Add ``pcb predict`` to the command line."""
    parser = add_command(
        commands, "predict", predict, "detect objects in any images, and draw the detections"
    )
    parser.add_argument(
        "run", metavar="RUN", help="run folder, or a config file together with --checkpoint"
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image files, and folders in which all images are used, also those in subfolders",
    )
    parser.add_argument(
        "--images-of",
        type=Path,
        metavar="FILE",
        help="instead of IMAGE: the images of a file in LVIS or COCO format, whose image ids and "
        "category ids are used; the file needs no annotations",
    )
    parser.add_argument(
        "--image-dir", type=Path, metavar="D", help="folder of the images of --images-of"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for all output"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="checkpoint file; default: latest.pth in the run folder",
    )
    meaning = "minimum score of the detections to draw; results.json has all detections"
    add_number(parser, "--score-threshold", SCORE_THRESHOLD, 0.3, meaning)
    add_settings(parser)
    add_trust(parser)


@outliving_terminal()
def predict(options: argparse.Namespace) -> int:
    """Run ``pcb predict``, and return the exit status: 1 if an image could not be read."""
    if (options.images_of is None) == (not options.images):
        raise ValueError("pass image files or folders, or instead --images-of and --image-dir")
    if (options.images_of is None) != (options.image_dir is None):
        raise ValueError("--images-of and --image-dir belong together: pass both or neither")
    cfg_options = parse_cfg_options(options.cfg_options)
    check_folder(options.out)
    import matplotlib

    matplotlib.use("agg")  # open no window
    from pcb.detection.engine.detector import open_detector
    from pcb.study.detection import detect_images, images_of, list_images

    if options.images_of is None:
        listed = list_images(options.images, leave_out=options.out)
    else:
        listed = images_of(options.images_of, options.image_dir)
    for note in listed.notes:
        _say(note)
    detector = open_detector(
        options.run,
        options.checkpoint or "",
        cfg_options=cfg_options,
        device=options.device,
        trust_checkpoint=options.trust_checkpoint,
        categories=listed.categories,
    )
    _say(detector.classes.source)
    names = [image["file_name"] for image in listed.images]
    paths = _picture_paths(options.out, names)
    _check_outputs(options.out, listed.folder, paths, [*detector.files, options.images_of])
    classes = detector.classes
    name_of = dict(zip(classes.category_ids, display_names(classes.names), strict=True))
    with writing_alone(options.out, PREDICTION):
        pictures = _Pictures(paths, options.score_threshold, name_of)
        with pictures.progress:
            read, total = detect_images(detector, listed, options.out, pictures.draw, pictures.skip)
    print(
        f"{read:,} image{'s' * (read != 1)} with {total:,} detection{'s' * (total != 1)}, of which"
        f" {pictures.drawn:,} with score >= {options.score_threshold:g} are drawn"
    )
    unreadable = len(names) - read
    if unreadable:
        _say(f"images that cannot be used, and were skipped: {unreadable:,} of {len(names):,}")
    print(f"Written: {options.out}")
    return 1 if unreadable else 0


class _Pictures:
    """Draw the detections in each image, and show the progress."""

    def __init__(self, paths: dict[str, Path], threshold: float, name_of: dict[int, str]) -> None:
        from tqdm import tqdm

        self._paths, self._threshold, self._name_of = paths, threshold, name_of
        self.drawn = 0
        self.progress = tqdm(total=len(paths), desc="predict", unit="image", mininterval=5.0)

    def draw(self, image: dict[str, Any], pixels: np.ndarray, found: Sequence[dict]) -> None:
        from pcb.datasets.masks import decode_mask
        from pcb.plots.detections import draw_detections

        shown = [one for one in found if one["score"] >= self._threshold]
        draw_detections(
            self._paths[image["file_name"]],
            pixels,
            boxes=[one["bbox"] for one in shown],
            masks=(
                decode_mask(one["segmentation"], *pixels.shape[:2])
                for one in shown
                if "segmentation" in one
            ),
            names=[self._name_of[one["category_id"]] for one in shown],
            scores=[one["score"] for one in shown],
        )
        self.drawn += len(shown)
        self.progress.update()

    def skip(self, message: str) -> None:
        self.progress.clear()
        _say(f"skipped: {message}")
        self.progress.update()


def _picture_paths(out: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return a different path for each image: its name, with ``.png`` at the end.

    ``fox.png`` keeps its name, unless another image is called ``fox``.
    """
    taken = set(names)
    return {
        name: out / (name if name.endswith(".png") and name[:-4] not in taken else f"{name}.png")
        for name in names
    }


def _check_outputs(
    out: Path, folder: Path, paths: dict[str, Path], inputs: Iterable[Path | None]
) -> None:
    """Raise an error if an output would overwrite an input or an unrelated file."""
    from pcb.plots.detections import is_drawing_of_detections
    from pcb.study.detection import IMAGES, RESULTS, is_images_file, is_results_file

    hint = "choose another folder for --out"
    sources = [path for path in inputs if path]
    for name, is_own in ((RESULTS, is_results_file), (IMAGES, is_images_file)):
        check_output(out / name, sources, is_own, name="the output file", hint=hint)
    images = {os.path.abspath(folder / name) for name in paths}
    for picture in paths.values():
        own = [picture] if os.path.abspath(picture) in images else []
        check_output(picture, own, is_drawing_of_detections, name="the picture", hint=hint)


def _say(message: str) -> None:
    print(f"pcb: {printable(message)}", file=sys.stderr)
