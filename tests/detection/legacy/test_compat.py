"""The fixes of mmcv and mmdet work and change nothing else."""

import copy
import inspect

import numpy as np
import pytest
import torch
from mmdet.core import BitmapMasks
from mmdet.models import build_head
from mmdet.models.roi_heads.bbox_heads import BBoxHead

from pcb.detection import load_config

OURS = [
    dict(type="CrossEntropyPCBLoss", num_classes=3),
    dict(type="CrossEntropyPCBLoss", num_classes=3, alpha=0.4, start_epoch=1),
    dict(type="SeesawPCBLoss", num_classes=3),
    dict(type="SeesawPCBLoss", num_classes=3, alpha=0.4, start_epoch=1),
    dict(type="EQLv2", num_classes=3),
    dict(type="EQLv2PCBLoss", num_classes=3, alpha_pcb=0.4, start_epoch=1),
]
MMDETS = [dict(type="CrossEntropyLoss"), dict(type="SeesawLoss", num_classes=3)]
every_loss = pytest.mark.parametrize(
    "loss", OURS + MMDETS, ids=lambda loss: loss["type"] + "+" * (len(loss) > 2)
)


def box_head(loss):
    return build_head(
        dict(
            type="Shared2FCBBoxHead",
            in_channels=2,
            fc_out_channels=8,
            num_classes=3,
            loss_cls=loss,
        )
    )


def losses(head, num, loss=None):
    """Losses of a number of RoIs with balanced labels."""
    generator = torch.Generator().manual_seed(0)
    dtype = head.fc_cls.weight.dtype
    logits, deltas = head(torch.rand(num, 2, 7, 7, generator=generator).to(dtype))
    rois = torch.tensor([0.0, 1, 1, 9, 9]).repeat(num, 1)
    weights_and_boxes = torch.ones(num), torch.rand(num, 4), torch.ones(num, 4)
    targets = torch.arange(num) % 4, *(x.to(dtype) for x in weights_and_boxes)
    return (loss or type(head).loss)(head, logits, deltas, rois, *targets)


@every_loss
def test_box_head_without_rois_has_the_same_terms_and_reaches_every_parameter(loss):
    head = box_head(loss)
    if loss in OURS:
        head.double()  # mmdet's accuracy is double only without samples
    some = losses(head, 8)  # from here on, PCB acts in losses that have it
    none = losses(head, 0)
    # Processes sum these one by one, so they must agree.
    assert [(k, v.dtype) for k, v in none.items()] == [(k, v.dtype) for k, v in some.items()]
    total = sum(value for name, value in none.items() if "loss" in name)
    assert total == 0
    total.backward()
    assert all(parameter.grad.eq(0).all() for parameter in head.parameters())


@every_loss
def test_box_head_with_rois_equals_mmdets(loss):
    mmdets = inspect.unwrap(BBoxHead.loss)
    assert mmdets.__module__ == BBoxHead.__module__
    head = box_head(loss)
    other = copy.deepcopy(head)
    for num in (8, 5):
        torch.manual_seed(0)
        expected = losses(other, num, mmdets)
        torch.manual_seed(0)
        found = losses(head, num)
        assert list(found) == list(expected)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(dict(head.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("config", ["lvis_v1/seesaw_pcb", "lvis_v1/eqlv2_pcb", "openmoji/softmax"])
def test_image_without_objects_and_proposals_reaches_every_parameter_of_the_roi_head(config):
    """Otherwise other processes wait for its gradients. Covers normalised layers and LayerNorm."""
    model = load_config(f"configs/{config}.py").model
    channels = model.neck.out_channels
    settings = dict(model.roi_head, train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn)
    settings["bbox_head"] |= dict(fc_out_channels=8)  # the original 1024 take long to initialise
    head = build_head(settings)
    strides = model.roi_head.bbox_roi_extractor.featmap_strides
    pyramid = [torch.rand(1, channels, 64 // s, 64 // s, requires_grad=True) for s in strides]
    losses = head.forward_train(
        pyramid,
        [{}],
        proposal_list=[torch.zeros(0, 5)],
        gt_bboxes=[torch.zeros(0, 4)],
        gt_labels=[torch.zeros(0, dtype=torch.long)],
        gt_masks=[BitmapMasks(np.zeros((0, 64, 64), dtype=np.uint8), 64, 64)],
    )
    total = sum(value for name, value in losses.items() if "loss" in name)
    assert total == 0
    total.backward()
    assert all(x.grad.eq(0).all() for x in [*head.parameters(), *pyramid])
