# Plain baseline of mask_rcnn_r50_fpn_mstrain_eqlv2_pcb_2x_lvis_v0.5_fp16.
_base_ = "softmax.py"
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(type="EQLv2PCBLoss", alpha=4.0, alpha_pcb=0.0),
            # Every class starts with a score of 0.001.
            init_cfg=[
                {{_base_.model.roi_head.bbox_head.init_cfg}},
                dict(type="Normal", std=0.01, bias_prob=0.001, override=dict(name="fc_cls")),
            ],
        )
    )
)
