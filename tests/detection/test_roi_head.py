"""Iterative refinement in the RoI head."""

import pytest
import torch
from mmdet.models import build_head

from pcb.detection import load_config


def build(n_iter=3, **settings):
    cfg = load_config("configs/openmoji/softmax_pcb.py").model
    roi_head = dict(cfg.roi_head, train_cfg=cfg.train_cfg.rcnn, test_cfg=cfg.test_cfg.rcnn)
    roi_head.update(n_iter=n_iter, **settings)
    if n_iter == 1:
        roi_head.update(type="IterativeRoIHead", iter_loss_weight=[1.0], reg_iter=-1)
    head = build_head(roi_head)
    head.init_weights()
    return head


def inputs(num=24, num_classes=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes + 1, (num,), generator=generator)
    targets = (labels, torch.ones(num), torch.rand(num, 4), torch.ones(num, 4))
    rois = torch.tensor([0.0, 10, 10, 50, 50]).repeat(num, 1)
    return torch.rand(num, 32, 7, 7, generator=generator), rois, targets


def test_official_module_names_and_sizes():
    state = build().state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if "sub_module" in k}
    assert shapes == {
        "cls_sub_module.layers.fc1.weight": (512, 41),
        "cls_sub_module.layers.fc1.bias": (512,),
        "cls_sub_module.layers.fc2.weight": (32, 512),
        "cls_sub_module.layers.fc2.bias": (32,),
        "loc_sub_module.layers.fc1.weight": (512, 4),
        "loc_sub_module.layers.fc1.bias": (512,),
        "loc_sub_module.layers.fc2.weight": (49, 512),
        "loc_sub_module.layers.fc2.bias": (49,),
    }
    assert "cls_sub_module.layer_norm.weight" in build(use_layer_norm=True).state_dict()


def test_one_iteration_is_the_standard_head():
    head = build(n_iter=1)
    assert not [name for name, _ in head.named_modules() if "sub_module" in name]
    features, rois, targets = inputs()
    expected = head.bbox_head.loss(*head.bbox_head(features), rois, *targets)
    losses = head.refinement_losses(features, rois, targets)
    torch.testing.assert_close(losses, expected)


def test_losses_are_weighted_over_iterations_and_the_box_loss_is_the_last():
    head = build(identity_init=False)
    features, rois, targets = inputs()
    losses = head.refinement_losses(features, rois, targets)
    predictions = list(head._iterate(features))
    each = [head.bbox_head.loss(*prediction, rois, *targets) for prediction in predictions]
    expected = sum(w * x["loss_cls"] for w, x in zip([0.2, 0.2, 0.6], each, strict=True))
    torch.testing.assert_close(losses["loss_cls"], expected)
    torch.testing.assert_close(losses["loss_bbox"], each[2]["loss_bbox"])
    assert not torch.equal(each[0]["loss_cls"], each[2]["loss_cls"])


def test_box_loss_of_all_iterations():
    head = build(reg_iter=-1, identity_init=False)
    features, rois, targets = inputs()
    losses = head.refinement_losses(features, rois, targets)
    each = [head.bbox_head.loss(*p, rois, *targets)["loss_bbox"] for p in head._iterate(features)]
    expected = 0.2 * each[0] + 0.2 * each[1] + 0.6 * each[2]
    torch.testing.assert_close(losses["loss_bbox"], expected)


def test_identity_init_starts_without_refinement():
    head = build(identity_init=True)
    first, *_, last = head._iterate(inputs()[0])
    torch.testing.assert_close(first, last)


def test_every_iteration_updates_the_matrix_and_gradients_reach_the_first():
    head = build(identity_init=False)
    features, rois, targets = inputs()
    features.requires_grad_()
    head.refinement_losses(features, rois, targets)["loss_cls"].backward()
    balance = head.bbox_head.loss_cls.balance
    assert balance.update_count.max() == 3
    assert balance.instance_count.sum() == 3 * (targets[0] < 40).sum()
    assert features.grad.abs().sum() > 0
    assert all(p.grad is not None for p in head.cls_sub_module.parameters())


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(n_iter=0), "n_iter must be at least 1, got 0"),
        (dict(iter_loss_weight=[1.0]), "iter_loss_weight must have n_iter=3 entries"),
        (dict(reg_iter=3), r"reg_iter must lie in \[-1, 2\], got 3"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
