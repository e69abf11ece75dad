"""RoI head that refines its predictions iteratively."""

from collections.abc import Iterator, Sequence

from mmdet.core import bbox2roi
from mmdet.models.builder import HEADS
from mmdet.models.roi_heads import StandardRoIHead
from torch import Tensor, nn

from pcb.refinement import Feedback, refine_features


@HEADS.register_module()
class IterativeRoIHead(StandardRoIHead):
    """RoI head that predicts K times and refines the RoI features between the predictions.

    The mask branch is the same as in mmdet's StandardRoIHead.

    Args:
        n_iter: K, the number of predictions. If K is 1, the head works like StandardRoIHead.
        mlp_layers: Number of linear layers in each of the two feedback modules, which refine the
            features.
        iter_loss_weight: Weights of the losses of the K predictions; by default, each is 1 / K.
        reg_iter: -1 to use the box losses of all K predictions. Otherwise, the index of the only
            prediction whose box loss is used; the weight of this loss is 1.
        box_reg_iter: Has no effect; the argument exists because official configs may set it.
        use_layer_norm: Whether to apply layer normalisation to the class logits before the feedback
            module, as in the official configs for EQL v2.
        identity_init: Whether the initial weights of the feedback modules leave the features
            unchanged. True helps training from scratch; False corresponds to the official code.

    Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
    CVPR 2022.
    """

    def __init__(
        self,
        n_iter: int = 3,
        mlp_layers: int = 2,
        iter_loss_weight: Sequence[float] | None = None,
        reg_iter: int = -1,
        box_reg_iter: int = -1,
        use_layer_norm: bool = False,
        identity_init: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if n_iter < 1:
            raise ValueError(f"n_iter must be at least 1, got {n_iter}")
        if iter_loss_weight is None:
            iter_loss_weight = [1 / n_iter] * n_iter
        if len(iter_loss_weight) != n_iter:
            raise ValueError(
                f"iter_loss_weight must have n_iter={n_iter} entries, got {list(iter_loss_weight)}"
            )
        if not -1 <= reg_iter < n_iter:
            raise ValueError(f"reg_iter must lie in [-1, {n_iter - 1}], got {reg_iter}")
        self.n_iter = n_iter
        self.iter_loss_weight = list(iter_loss_weight)
        self.reg_iter = reg_iter
        self.identity_init = identity_init
        if n_iter == 1:
            return
        extractor = self.bbox_roi_extractor
        height, width = extractor.roi_layers[0].output_size
        self.cls_sub_module = Feedback(
            self.bbox_head.fc_cls.out_features,
            extractor.out_channels,
            num_layers=mlp_layers,
            layer_norm=use_layer_norm,
        )
        self.loc_sub_module = Feedback(
            self.bbox_head.fc_reg.out_features, height * width, num_layers=mlp_layers
        )

    def init_weights(self) -> None:
        """Initialise the weights according to ``init_cfg`` and ``identity_init``."""
        super().init_weights()
        if self.n_iter > 1 and self.identity_init:
            for feedback, value in ((self.cls_sub_module, 0.0), (self.loc_sub_module, 1.0)):
                nn.init.zeros_(feedback.layers[-1].weight)
                nn.init.constant_(feedback.layers[-1].bias, value)

    def _iterate(self, features: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the class and box predictions of each refinement iteration.

        Args:
            features: (N, D, H, W) RoI features before the first refinement.
        """
        for iteration in range(self.n_iter):
            cls_score, bbox_pred = self.bbox_head(features)
            yield cls_score, bbox_pred
            if iteration + 1 < self.n_iter:
                features = refine_features(
                    features, self.loc_sub_module(bbox_pred), self.cls_sub_module(cls_score)
                )

    def _extract(self, x: Sequence[Tensor], rois: Tensor) -> Tensor:
        features = self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)
        return self.shared_head(features) if self.with_shared_head else features

    def _bbox_forward(self, x: Sequence[Tensor], rois: Tensor) -> dict[str, Tensor]:
        """Return the predictions after the last refinement, and the unrefined RoI features."""
        features = self._extract(x, rois)
        *_, (cls_score, bbox_pred) = self._iterate(features)
        return {"cls_score": cls_score, "bbox_pred": bbox_pred, "bbox_feats": features}

    def _bbox_forward_train(self, x, sampling_results, gt_bboxes, gt_labels, img_metas) -> dict:
        rois = bbox2roi([result.bboxes for result in sampling_results])
        targets = self.bbox_head.get_targets(sampling_results, gt_bboxes, gt_labels, self.train_cfg)
        features = self._extract(x, rois)
        losses = self.refinement_losses(features, rois, targets)
        return {"loss_bbox": losses, "bbox_feats": features}

    def refinement_losses(
        self, features: Tensor, rois: Tensor, targets: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted sum of each loss over the refinement iterations.

        The result also contains the accuracy of the last refinement iteration.

        Args:
            features: (N, D, H, W) RoI features before the first refinement.
            rois: (N, 5) RoIs; each row is (image index, x1, y1, x2, y2).
            targets: Labels, label weights, box targets and box weights of the N RoIs.
        """
        total: dict[str, Tensor] = {}
        for iteration, (cls_score, bbox_pred) in enumerate(self._iterate(features)):
            if hasattr(self.bbox_head.loss_cls, "set_iteration"):
                self.bbox_head.loss_cls.set_iteration(iteration, self.n_iter)
            losses = self.bbox_head.loss(cls_score, bbox_pred, rois, *targets)
            for name, value in losses.items():
                weight = self.iter_loss_weight[iteration]
                if name == "loss_bbox" and self.reg_iter >= 0:
                    weight = float(iteration == self.reg_iter)
                if "loss" not in name:
                    total[name] = value
                elif weight > 0:
                    total[name] = total[name] + weight * value if name in total else weight * value
        return total
