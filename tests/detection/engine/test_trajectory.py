"""A training trajectory compared with a plain transcription of the method, in float64.

The registered losses in an :class:`IterativeRoIHead` train on given features, RoIs and targets
across the opening of PCB's gate. In parallel, a transcription trains that is written from the
equations alone: it loops over classes and RoIs and shares no code with the package.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.models import build_head
from torch import nn

pytestmark = pytest.mark.slow

C, K, D, SIZE = 5, 3, 4, 3  # classes, iterations, channels, height and width of RoI features
ROIS, STEPS, STEPS_PER_EPOCH, START_EPOCH = 16, 240, 60, 3
LEARNING_RATE, MOMENTUM, CONFUSION_MOMENTUM = 0.002, 0.9, 0.9
ITER_WEIGHTS, REG_ITER = [0.2, 0.2, 0.6], 2
# mmdet 2.28 adds this to the averaging factor of its own losses, here the box loss.
MMDET_EPSILON = torch.finfo(torch.float32).eps

LOSSES = {
    "softmax": dict(type="CrossEntropyPCBLoss", alpha=0.4),
    "seesaw": dict(type="SeesawPCBLoss", alpha=0.3),
    "eqlv2": dict(type="EQLv2PCBLoss", alpha_pcb=0.2),
}
CHANNELS = {"softmax": C + 1, "seesaw": C + 2, "eqlv2": C + 1}


@pytest.mark.parametrize("baseline", LOSSES)
def test_trajectory_equals_a_transcription_of_the_method(baseline):
    torch.manual_seed(0)
    head = build_roi_head(baseline)
    method = Transcription(baseline, head)
    optimizers = [
        torch.optim.SGD(parameters, LEARNING_RATE, MOMENTUM)
        for parameters in (head.parameters(), method.parameters.values())
    ]
    balance = head.bbox_head.loss_cls.balance
    strengths = []
    for step in range(STEPS):
        epoch = 1 + step // STEPS_PER_EPOCH
        features, rois, targets = batch(step)
        balance.set_epoch(epoch)
        losses = head.refinement_losses(features, rois, targets)
        expected = method.losses(features, targets, epoch)
        ours = {name: value for name, value in losses.items() if name.startswith("loss")}
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-12)
        for optimizer, values in zip(optimizers, (ours, expected), strict=True):
            optimizer.zero_grad()
            sum(values.values()).backward()
            optimizer.step()
        strengths.append(balance.current_strength())
    # PCB is off at first and acts in the end: the gate has opened in between.
    assert strengths[0] == 0 and strengths[-1] == balance.alpha
    trained = dict(head.named_parameters())
    torch.testing.assert_close(
        {name: trained[name].data for name in method.parameters},
        {name: value.data for name, value in method.parameters.items()},
        rtol=1e-8,
        atol=1e-9,
    )
    state = head.bbox_head.loss_cls.state_dict()
    if baseline == "eqlv2":
        names = ("positive_gradient", "negative_gradient")
        method.buffers |= dict(zip(names, method.gradients, strict=True))
    torch.testing.assert_close(
        {name: state[name] for name in method.buffers},
        method.buffers,
        rtol=1e-8,
        atol=1e-12,
    )


def build_roi_head(baseline):
    init_cfg = [dict(type="Xavier", layer="Linear")]
    if baseline == "eqlv2":
        # A prior, as in the official code. Without it, so small a training is chaotic: a rounding
        # error is enough to make two transcriptions diverge.
        own = dict(type="Normal", std=0.01, bias_prob=0.02, override=dict(name="fc_cls"))
        init_cfg.append(own)
    loss = dict(
        LOSSES[baseline], num_classes=C, momentum=CONFUSION_MOMENTUM, start_epoch=START_EPOCH
    )
    head = build_head(
        dict(
            type="IterativeRoIHead",
            n_iter=K,
            iter_loss_weight=ITER_WEIGHTS,
            reg_iter=REG_ITER,
            use_layer_norm=baseline == "eqlv2",
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=SIZE),
                out_channels=D,
                featmap_strides=[4],
            ),
            bbox_head=dict(
                type="Shared2FCBBoxHead",
                in_channels=D,
                fc_out_channels=8,
                roi_feat_size=SIZE,
                num_classes=C,
                init_cfg=init_cfg,
                loss_cls=loss,
                loss_bbox=dict(type="L1Loss"),
            ),
            train_cfg=None,
            test_cfg=None,
        )
    )
    head.init_weights()
    return head.double()


def batch(step):
    """Features, RoIs and targets of a step: a long tail, and sometimes no positive at all."""
    generator = torch.Generator().manual_seed(step)
    features = torch.randn(ROIS, D, SIZE, SIZE, generator=generator).double()
    frequency = torch.tensor([40.0, 20, 10, 4, 1, 75])
    labels = torch.multinomial(frequency, ROIS, replacement=True, generator=generator)
    if step % 17 == 3:
        labels[:] = C
    # Every class has its own mean, so there is something to learn.
    features += torch.linspace(-1, 1, C + 1).double()[labels].view(-1, 1, 1, 1)
    weights = (torch.rand(ROIS, generator=generator) > 0.1).double()
    box_targets = torch.randn(ROIS, 4, generator=generator).double()
    box_weights = (labels < C).double()[:, None].expand(-1, 4)
    rois = torch.zeros(ROIS, 5).double()
    return features, rois, (labels, weights, box_targets, box_weights)


class Transcription:
    """The method, equation by equation."""

    def __init__(self, baseline, head):
        self.baseline = baseline
        self.parameters = {
            name: nn.Parameter(value.data.clone()) for name, value in head.named_parameters()
        }
        self.buffers = {
            "fg_confusion_matrix": torch.zeros(C, C).double(),
            "num_inst_cnt": torch.zeros(C).double(),
        }
        if baseline == "seesaw":
            self.buffers["cum_samples"] = torch.zeros(C + 1).double()
        self.gradients = None  # of EQL v2: positive, negative

    # 5. Iterative refinement.

    def linear(self, x, name):
        return x @ self.parameters[name + ".weight"].T + self.parameters[name + ".bias"]

    def box_head(self, features):
        x = features.reshape(len(features), -1)
        for layer in ("bbox_head.shared_fcs.0", "bbox_head.shared_fcs.1"):
            x = self.linear(x, layer).relu()
        return self.linear(x, "bbox_head.fc_cls"), self.linear(x, "bbox_head.fc_reg")

    def feedback(self, x, name):
        if name + ".layer_norm.weight" in self.parameters:
            x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
            x = x * self.parameters[name + ".layer_norm.weight"]
            x = x + self.parameters[name + ".layer_norm.bias"]
        return self.linear(self.linear(x, name + ".layers.fc1").relu(), name + ".layers.fc2")

    def losses(self, features, targets, epoch):
        total = {}
        for k in range(K):
            logits, deltas = self.box_head(features)
            for name, value in self.class_losses(logits, targets, epoch, k).items():
                total[name] = total.get(name, 0.0) + ITER_WEIGHTS[k] * value
            if k == REG_ITER:
                total["loss_bbox"] = self.box_loss(deltas, targets)
            location = self.feedback(deltas, "loc_sub_module").view(-1, 1, SIZE, SIZE)
            category = self.feedback(logits, "cls_sub_module").view(-1, D, 1, 1)
            features = features * location + category
        return total

    @staticmethod
    def box_loss(deltas, targets):
        labels, _, box_targets, box_weights = targets
        loss = deltas.sum() * 0
        for n, y in enumerate(labels.tolist()):
            if y < C:
                own = deltas[n, 4 * y : 4 * y + 4]
                loss = loss + (box_weights[n] * (own - box_targets[n]).abs()).sum()
        return loss / (len(labels) + MMDET_EPSILON)

    # 1. Running confusion matrix.

    def observe(self, logits, labels):
        confusion, count = self.buffers["fg_confusion_matrix"], self.buffers["num_inst_cnt"]
        foreground = logits[:, :C].detach()
        p = foreground.sigmoid() if self.baseline == "eqlv2" else foreground.softmax(1)
        for i in range(C):
            of_class = p[labels == i]
            if len(of_class) == 0:
                continue
            confusion[i] = CONFUSION_MOMENTUM * confusion[i]
            confusion[i] += (1 - CONFUSION_MOMENTUM) * of_class.mean(0)
            if self.baseline != "eqlv2":
                confusion[i] /= confusion[i].sum()
            count[i] += len(of_class)

    # 2. Fightback soft label.

    def soft_label(self, y):
        q = self.buffers["fg_confusion_matrix"][:, y].clone()
        return q if self.baseline == "eqlv2" else q / q.sum()

    # 3. When and how strongly; 4. losses.

    def class_losses(self, logits, targets, epoch, k):
        labels, weights, *_ = targets
        if self.baseline == "seesaw":
            for y in labels.tolist():
                self.buffers["cum_samples"][y] += 1
        self.observe(logits, labels)
        is_open = epoch >= START_EPOCH and bool((self.buffers["num_inst_cnt"] > 0).all())
        settings = LOSSES[self.baseline]
        alpha = settings.get("alpha_pcb", settings.get("alpha")) * k / (K - 1)
        average = max(float((weights > 0).sum()), 1.0)
        loss = getattr(self, self.baseline)
        return loss(logits, labels.tolist(), weights, average, is_open, alpha)

    def softmax(self, logits, labels, weights, average, is_open, alpha):
        log_p = logits.log_softmax(1)
        loss = logits.sum() * 0
        for n, y in enumerate(labels):
            cross_entropy = -weights[n] * log_p[n, y] / average
            if y == C or not is_open:
                loss = loss + cross_entropy
                continue
            q = torch.cat([self.soft_label(y), torch.zeros(1).double()])
            divergence = torch.xlogy(q, q).sum() - (q * log_p[n]).sum()
            loss = loss + (1 - alpha) * cross_entropy + alpha * divergence / len(labels)
        return {"loss_cls": loss}

    def seesaw(self, logits, labels, weights, average, is_open, alpha):
        objectness = classes = pcb = logits.sum() * 0
        count = self.buffers["cum_samples"].clamp(min=1)
        for n, y in enumerate(labels):
            log_o = logits[n, C:].log_softmax(0)
            objectness = objectness - weights[n] * log_o[int(y == C)] / average
            if y == C:
                continue
            z, sigma = logits[n, :C], logits[n, :C].detach().softmax(0)
            factor = torch.ones(C).double()
            for j in range(C):
                if j != y:
                    factor[j] = min(1.0, count[j] / count[y]) ** 0.8
                    factor[j] *= max(1.0, sigma[j] / max(sigma[y], 1e-2)) ** 2.0
            log_p = (z + factor.log()).log_softmax(0)
            classes = classes - (1 - alpha * is_open) * weights[n] * log_p[y] / average
            if is_open:
                pcb = pcb - alpha * weights[n] * (self.soft_label(y) * log_p).sum() / average
        losses = {"loss_cls_objectness": objectness, "loss_cls_classes": classes}
        return losses | {"loss_pcb_classes": pcb} if is_open else losses

    def eqlv2(self, logits, labels, _weights, _average, is_open, alpha):
        target = torch.zeros(len(labels), C + 1).double()
        for n, y in enumerate(labels):
            target[n, y] = 1
            if y < C and is_open:
                target[n, :C] = alpha * self.soft_label(y) + (1 - alpha) * target[n, :C]
        weight = torch.ones_like(target)
        if self.gradients is not None:
            positive, negative = self.gradients
            for j in range(C):
                g = float(positive[j] / (negative[j] + 1e-10))
                w_negative = 1 / (1 + math.exp(-12 * (g - 0.8)))
                w_positive = 1 + 4.0 * (1 - w_negative)
                weight[:, j] = w_positive * target[:, j] + w_negative * (1 - target[:, j])
        sigma = logits.detach().sigmoid()
        gradient = (target * (sigma - 1) + (1 - target) * sigma).abs() * weight
        new = (gradient * target).sum(0)[:C], (gradient * (1 - target)).sum(0)[:C]
        old = self.gradients or (torch.zeros(C).double(), torch.zeros(C).double())
        self.gradients = old[0] + new[0], old[1] + new[1]
        cross_entropy = F.softplus(logits) - target * logits
        return {"loss_cls": (weight * cross_entropy).sum() / len(labels)}
