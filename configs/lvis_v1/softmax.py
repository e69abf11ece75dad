# Plain baseline of mask_rcnn_r50_fpn_mstrain_pcb_2x_lvis_v1_fp16.
_base_ = [
    "../_base_/models/mask_rcnn_r50_fpn.py",
    "../_base_/datasets/lvis_v1.py",
    "../_base_/schedules/lvis_2x.py",
    "../_base_/default_runtime.py",
]
model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes={{_base_.num_classes}},
            loss_cls=dict(
                type="CrossEntropyPCBLoss", num_classes={{_base_.num_classes}}, alpha=0.0
            ),
        ),
        mask_head=dict(num_classes={{_base_.num_classes}}),
    )
)
