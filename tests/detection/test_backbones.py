"""ImageNet weights: their sources, and the errors without a network."""

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from mmcv.runner.checkpoint import get_external_models, load_checkpoint
from mmdet.models import ResNet

from pcb.detection import load_config
from pcb.detection.backbones import torchvision_url
from pcb.detection.checkpoint import save_checkpoint
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import build_model, train

CONFIG = "tests/configs/tiny_pcb.py"
PRETRAINED = {"type": "Pretrained", "checkpoint": "torchvision://resnet18"}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Folder of downloaded weights on a machine without a network."""

    def no_network(*_args, **_kwargs):
        raise URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def put(cache: Path, url: str, content: object) -> None:
    cache.mkdir(parents=True)
    torch.save(content, cache / url.rpartition("/")[2])


def test_names_mean_what_they_have_always_meant():
    first = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url
    assert torchvision_url("resnet50") == first
    assert torchvision_url("ResNet50_Weights.IMAGENET1K_V1") == first
    assert torchvision_url("resnet50.imagenet1k_v2") != first
    for name, message in (("resnet5", "no model 'resnet5'"), ("resnet50.v3", "no weights V3")):
        with pytest.raises(ValueError, match=message):
            torchvision_url(name)


def test_weights_in_the_cache_reach_the_backbone_silently(cache, capfd):
    weights = torchvision.models.resnet50().state_dict()
    put(cache, torchvision_url("resnet50"), weights)
    init = {"type": "Pretrained", "checkpoint": "torchvision://resnet50"}
    backbone = ResNet(depth=50, init_cfg=init)
    backbone.init_weights()
    loaded = backbone.state_dict()
    assert set(weights) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, weights[name]) for name, value in loaded.items())
    assert capfd.readouterr() == ("", "")


def test_training_without_network_names_the_file_and_its_place(cache, tmp_path, tiny_options):
    options = {**tiny_options, "model.backbone.init_cfg": PRETRAINED}
    url = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url
    wanted = f"{url} could not be downloaded .*no network here.* copy it to "
    wanted += re.escape(str(cache / url.rpartition("/")[2]))
    with pytest.raises(FileNotFoundError, match=wanted):
        train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_predicting_needs_no_imagenet_weights(cache, tmp_path, tiny_options):
    detector = build_model(load_config(CONFIG))
    save_checkpoint(tmp_path / "x.pth", {"state_dict": detector.state_dict()})
    options = {**tiny_options, "model.backbone.init_cfg": PRETRAINED}
    files = predict(CONFIG, tmp_path / "x.pth", tmp_path / "run", options, device="cpu")
    assert all(file.is_file() for file in files.values()) and not cache.exists()


ADDRESSES = {
    "torchvision://resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url,
    "https://example.org/weights/mine.pth": "https://example.org/weights/mine.pth",
    "open-mmlab://resnet50_v1c": get_external_models()["resnet50_v1c"],
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_code_in_downloaded_weights_is_not_executed(name, cache, trap):
    put(cache, ADDRESSES[name], {"state_dict": trap})
    with pytest.raises(ValueError, match=r"was rejected.*it contains \w+\.mknod"):
        load_checkpoint(ResNet(depth=18), name)
    assert not trap.sprung


def test_code_in_a_file_of_weights_is_not_executed(tmp_path, trap, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # overrides torch's default
    torch.save({"state_dict": trap}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth was rejected.*it contains \w+\.mknod"):
        load_checkpoint(ResNet(depth=18), str(tmp_path / "weights.pth"))
    assert not trap.sprung
    with pytest.raises(FileNotFoundError, match=r"the checkpoint .*absent\.pth does not exist"):
        load_checkpoint(ResNet(depth=18), str(tmp_path / "absent.pth"))
