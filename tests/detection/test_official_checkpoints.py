"""Checkpoints in the official form and full size, filled with random numbers."""

import gzip
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmdet.models import build_detector
from torch import nn

from pcb.detection import load_config
from pcb.detection.box_head_loss import NEW_BUFFERS
from pcb.detection.checkpoint import load_weights, read_checkpoint

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[1] / "reference" / "state_dict_keys.json.gz"
PREFIX = "roi_head.bbox_head.loss_cls."

CONFIGS = {
    "lvis_v1/softmax_pcb": "mask_rcnn_r50_fpn_mstrain_pcb_2x_lvis_v1_fp16",
    "lvis_v0_5/eqlv2_pcb": "mask_rcnn_r50_fpn_mstrain_eqlv2_pcb_2x_lvis_v0.5_fp16",
    "lvis_v1/seesaw_pcb": (
        "mask_rcnn_r50_fpn_sample1e-3_seesaw_pcb_normed_mask_mstrain_2x_lvis_v1_fp16"
    ),
}


def build(config: str) -> nn.Module:
    """The detector with uninitialised memory, because everything will be loaded."""
    return build_detector(load_config(f"configs/{config}.py").model).eval()


def random_state(shapes: dict[str, list[int]]) -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return OrderedDict(
        (name, torch.tensor(7))
        if name.endswith("num_batches_tracked")
        else (name, torch.rand(shape, generator=generator).sub_(0.45).mul_(0.1))
        for name, shape in shapes.items()
    )


def refinement(detector: nn.Module) -> list[torch.Tensor]:
    """Class and box predictions of every iteration, for given features and RoIs."""
    generator = torch.Generator().manual_seed(1)
    pyramid = [torch.randn(1, 256, side, side, generator=generator) for side in (32, 16, 8, 4)]
    rois = torch.tensor([[0.0, 5, 9, 60, 44], [0, 0, 0, 128, 128], [0, 70.5, 3, 90, 100]])
    with torch.no_grad():
        iterations = detector.roi_head._iterate(detector.roi_head._extract(pyramid, rois))
        return [prediction for both in iterations for prediction in both]


@pytest.mark.parametrize("config", CONFIGS)
def test_official_checkpoint_loads_whole_and_predicts_the_same(config, tmp_path):
    shapes = json.loads(gzip.decompress(REFERENCE.read_bytes()))[CONFIGS[config]]
    state = random_state(shapes)
    first = build(config)
    load_weights(first, {"state_dict": state}, "official")
    before = refinement(first)
    assert len(before) == 6 and all(p.isfinite().all() and p.std() > 0 for p in before)
    ours = first.state_dict()
    assert {name.removeprefix(PREFIX) for name in ours.keys() - shapes} <= set(NEW_BUFFERS)
    torch.save({"meta": {}, "state_dict": {k: ours[k] for k in shapes}}, tmp_path / "official.pth")
    del ours, first

    second = build(config)
    load_weights(second, read_checkpoint(tmp_path / "official.pth"), "official.pth")
    for name, value in second.state_dict().items():
        if name in shapes:
            torch.testing.assert_close(
                value,
                state[name].to(value.dtype),
                rtol=0,
                atol=0,
                msg=lambda m, n=name: f"{n}: {m}",
            )
    after = refinement(second)
    assert all(map(torch.equal, before, after))
    balance = second.roi_head.bbox_head.loss_cls.balance
    assert torch.equal(balance.confusion, state[PREFIX + "fg_confusion_matrix"])
    assert torch.equal(balance.instance_count, state[PREFIX + "num_inst_cnt"])
    (tmp_path / "official.pth").unlink()  # 200 MB


def test_checkpoint_of_another_config_is_refused():
    shapes = json.loads(gzip.decompress(REFERENCE.read_bytes()))
    with torch.device("meta"):
        detector = build("lvis_v1/softmax_pcb")
        other_version = {
            name: torch.empty(shape)
            for name, shape in shapes[CONFIGS["lvis_v0_5/eqlv2_pcb"]].items()
        }
    with pytest.raises(ValueError, match=r"2 unexpected .*layer_norm.* with the wrong shape"):
        load_weights(detector, {"state_dict": other_version}, "official.pth")
