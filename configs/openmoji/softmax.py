# Softmax baseline: cross-entropy. It also records the confusion matrix.
_base_ = [
    "../_base_/models/mask_rcnn_r18_fpn_small.py",
    "../_base_/datasets/openmoji.py",
    "../_base_/schedules/openmoji.py",
    "../_base_/default_runtime.py",
]
model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes={{_base_.num_classes}},
            loss_cls=dict(
                type="CrossEntropyPCBLoss",
                num_classes={{_base_.num_classes}},
                alpha=0.0,
                # pcb.scaled_momentum(9): the rarest class has 3 images. Each image gives one call
                # of the loss per epoch, in 3 epochs before PCB would act.
                momentum=0.75,
            ),
        ),
        mask_head=dict(num_classes={{_base_.num_classes}}),
    )
)
