"""``pcb data import``: import a user's dataset."""

from __future__ import annotations

import argparse
from typing import Any

from pcb.cli.options import add_command, add_crowds
from pcb.cli.output import log_to_stderr


def add_commands(commands: Any) -> None:
    """Add ``pcb data import`` to the command line."""
    data = commands.add_parser("data", help="import your own data", description="Import your data.")
    add_import = data.add_subparsers(metavar="COMMAND", required=True)
    parser = add_command(
        add_import,
        "import",
        _import,
        "check annotations in COCO or LVIS format, and write configs for all baselines",
    )
    parser.add_argument("train", metavar="TRAIN.json", help="annotations of the training images")
    parser.add_argument("val", metavar="VAL.json", help="annotations of the validation images")
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="DIR",
        help="folder with all images, or one folder for each of the two files",
    )
    parser.add_argument(
        "--name", required=True, help="name of the dataset; configs are written to configs/NAME"
    )
    add_crowds(parser)
    parser.add_argument(
        "--federated",
        action="store_true",
        help="each image was checked only for its annotated classes; default: for every class",
    )
    parser.add_argument(
        "--boxes", action="store_true", help="train boxes alone, even if there are masks"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="checkpoint to start from: a detector with ResNet-50, such as mmdet's on COCO",
    )
    parser.add_argument(
        "--epochs", type=int, default=24, metavar="N", help="epochs of training (default: 24)"
    )
    parser.add_argument(
        "--images-per-step",
        type=int,
        metavar="N",
        help="images in each training step; the learning rate is scaled with it (default: 4 for"
        " small images, 2 for photographs)",
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace an earlier import with the same name"
    )


def _import(options: argparse.Namespace) -> None:
    from pcb.own_data import import_data

    with log_to_stderr():
        settings = import_data(
            options.train,
            options.val,
            options.images,
            options.name,
            crowds=options.crowds,
            federated=options.federated,
            epochs=options.epochs,
            images_per_step=options.images_per_step,
            weights=options.weights,
            boxes=options.boxes,
            replace=options.replace,
        )
    name = options.name
    what = "masks and boxes" if settings.has_masks else "boxes"
    model = "a small ResNet-18, trained from scratch"
    if settings.family == "photographs":
        start = options.weights or "ImageNet weights, which training downloads once (100 MB)"
        model = f"a ResNet-50 with {start}"
    print(
        f"{settings.num_images:,} training images, {settings.num_classes:,} classes"
        f" ({settings.absent:,} without a training image), {what}\n"
        f"Model: {model}\n"
        f"Learning rate {settings.rate:g}: {settings.base_rate:g} is meant for"
        f" {settings.base_images} images per step, and you have {settings.images_per_step}\n"
        f"PCB starts in epoch {settings.start_epoch} of {settings.epochs}\n"
        f"Written: data/{name}, configs/{name}, workflow/grids/{name}.yaml\n"
        f"Train with: pcb train configs/{name}/softmax_pcb.py, or make grid GRID={name}"
    )
