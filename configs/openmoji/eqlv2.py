# EQL v2 baseline. It also records the confusion matrix.
_base_ = "softmax.py"
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(type="EQLv2PCBLoss", alpha=4.0, alpha_pcb=0.0),
            # mmdet's default, except that every class starts with a score of 0.001.
            init_cfg=[
                dict(type="Normal", std=0.01, bias_prob=0.001, override=dict(name="fc_cls")),
                dict(type="Normal", std=0.001, override=dict(name="fc_reg")),
                dict(type="Xavier", distribution="uniform", override=dict(name="shared_fcs")),
            ],
        )
    )
)
