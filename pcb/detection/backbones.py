"""Load ImageNet weights without executing code that a downloaded file may contain.

mmcv's own loaders unpickle downloaded files without checks.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision
from mmcv.runner import checkpoint as mmcv_checkpoint
from mmcv.runner.checkpoint import CheckpointLoader
from torch import Tensor

from pcb.detection.checkpoint import read_checkpoint
from pcb.distributed import rank, wait_for_all

FIRST_WEIGHTS = "IMAGENET1K_V1"  # used if an address torchvision://<model> names no version
CLASSIFIER = "fc."  # prefix of a ResNet's classifier weights, which backbones do not have


@CheckpointLoader.register_scheme(prefixes=("modelzoo://", "torchvision://"), force=True)
def load_from_torchvision(name: str, map_location: Any = None) -> dict[str, Tensor]:
    """Return a torchvision model's weights as CPU tensors.

    For a ResNet, the weights of the classifier are left out.

    Args:
        name: An address such as ``"torchvision://resnet50"`` or
            ``"torchvision://resnet50.imagenet1k_v2"``.
        map_location: Has no effect; the argument exists because mmcv passes it.

    Raises:
        ValueError: torchvision does not have this model or these weights.
        FileNotFoundError: The download failed. The message names the file to download.
    """
    weights = load_from_http(torchvision_url(name.split("://", 1)[1]))
    return {key: value for key, value in weights.items() if not key.startswith(CLASSIFIER)}


def torchvision_url(name: str) -> str:
    """Return the web address of a torchvision model's weights.

    Example:
        >>> torchvision_url("resnet50").rpartition("/")[2]
        'resnet50-0676ba61.pth'
    """
    model, _, version = name.lower().replace("_weights", "").partition(".")
    try:
        offered = torchvision.models.get_model_weights(model)
    except ValueError as error:
        raise ValueError(
            f"torchvision has no model {model!r} (torchvision://{name}): use the name of a "
            "torchvision model, such as resnet50"
        ) from error
    version = (version or FIRST_WEIGHTS).upper()
    if version not in offered.__members__:
        versions = ", ".join(offered.__members__)
        raise ValueError(
            f"torchvision has no weights {version} for {model}: choose from {versions}"
        )
    return offered[version].url


@CheckpointLoader.register_scheme(prefixes=("http://", "https://"), force=True)
def load_from_http(url: str, map_location: Any = None) -> dict[str, Any]:
    """Download weights and return them as CPU tensors.

    The file is downloaded once, into ``$TORCH_HOME/hub/checkpoints``.

    Args:
        url: The web address of the weights.
        map_location: Has no effect; the argument exists because mmcv passes it.

    Raises:
        FileNotFoundError: The download failed. The message names the file to download.
        ValueError: The file is damaged, or contains objects other than tensors and plain values.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if rank() == 0:
        _download(url, file)
    wait_for_all()
    _download(url, file)  # a process on a different machine may not see the first process's disk
    return read_checkpoint(file)


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_file(path: str, map_location: Any = None) -> dict[str, Any]:
    """Read weights from a local file and return them as CPU tensors.

    Args:
        path: The file.
        map_location: Has no effect; the argument exists because mmcv passes it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is damaged, or contains objects other than tensors and plain values.
    """
    return read_checkpoint(Path(path).expanduser())


def _download(url: str, file: Path) -> None:
    """Download a file if it is missing, and check its hash if the file name contains a hash."""
    if file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    digest = torch.hub.HASH_REGEX.search(file.name)
    try:
        torch.hub.download_url_to_file(url, str(file), digest and digest.group(1))
    except (OSError, RuntimeError) as error:  # no network, or a wrong hash
        raise FileNotFoundError(
            f"{url} could not be downloaded ({error}). If this machine has no network, download "
            f"the file on a different machine and copy it to {file}"
        ) from error


# mmcv's loaders for other addresses, such as open-mmlab://, call the function by this name.
mmcv_checkpoint.load_from_http = load_from_http
