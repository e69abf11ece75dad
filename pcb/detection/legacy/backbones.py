"""ImageNet weights for training: torchvision's, downloaded once and never executed.

mmcv's own loaders unpickle any download, and their errors say little if there is no network.
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

FIRST_WEIGHTS = "IMAGENET1K_V1"  # what torchvision://<model> has always meant
CLASSIFIER = "fc."  # a ResNet has a classifier, a detector's backbone has none


@CheckpointLoader.register_scheme(prefixes=("modelzoo://", "torchvision://"), force=True)
def load_from_torchvision(name: str, map_location: Any = None) -> dict[str, Tensor]:
    """Weights of one of torchvision's models, without a ResNet's classifier.

    Args:
        name: such as ``"torchvision://resnet50"`` or ``"torchvision://resnet50.imagenet1k_v2"``.
        map_location: has no effect; mmcv passes it. The weights are on the CPU.

    Raises:
        ValueError: torchvision has no such model or weights.
        FileNotFoundError: there is no network. The message names the file to download.
    """
    weights = load_from_http(torchvision_url(name.split("://", 1)[1]))
    return {key: value for key, value in weights.items() if not key.startswith(CLASSIFIER)}


def torchvision_url(name: str) -> str:
    """The address of a model's weights at torchvision.

    Example:
        >>> torchvision_url("resnet50").rpartition("/")[2]
        'resnet50-0676ba61.pth'
    """
    model, _, version = name.lower().replace("_weights", "").partition(".")
    try:
        offered = torchvision.models.get_model_weights(model)
    except ValueError as error:
        raise ValueError(f"torchvision has no model {model!r} (torchvision://{name})") from error
    version = (version or FIRST_WEIGHTS).upper()
    if version not in offered.__members__:
        raise ValueError(f"torchvision has no weights {version} of {model}: {list(offered)}")
    return offered[version].url


@CheckpointLoader.register_scheme(prefixes=("http://", "https://"), force=True)
def load_from_http(url: str, map_location: Any = None) -> dict[str, Any]:
    """Weights at an address, downloaded once into ``$TORCH_HOME/hub/checkpoints``.

    Args:
        url: the address.
        map_location: has no effect; mmcv passes it. The weights are on the CPU.

    Raises:
        FileNotFoundError: the download failed. The message names the file to download.
        ValueError: the file is damaged, or holds more than tensors and plain values.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if rank() == 0:
        _download(url, file)
    wait_for_all()
    _download(url, file)  # processes on another machine may have their own disk
    return read_checkpoint(file)


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_file(path: str, map_location: Any = None) -> dict[str, Any]:
    """Weights in a file on disk.

    Args:
        path: the file.
        map_location: has no effect; mmcv passes it. The weights are on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or holds more than tensors and plain values.
    """
    return read_checkpoint(Path(path).expanduser())


def _download(url: str, file: Path) -> None:
    """Download a missing file and check its hash, if its name contains one."""
    if file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    digest = torch.hub.HASH_REGEX.search(file.name)
    try:
        torch.hub.download_url_to_file(url, str(file), digest and digest.group(1))
    except (OSError, RuntimeError) as error:  # no network, or a wrong hash
        raise FileNotFoundError(
            f"{url} could not be downloaded ({error}). Without a network, download it elsewhere "
            f"and put it at {file}"
        ) from error


# mmcv's other schemes that download, such as open-mmlab://, call this name.
mmcv_checkpoint.load_from_http = load_from_http
