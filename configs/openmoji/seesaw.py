# Seesaw baseline with repeat factor sampling. It also records the confusion matrix.
_base_ = "rfs.py"
model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type="NormedLinear", tempearture=20),
            loss_cls=dict(type="SeesawPCBLoss", alpha=0.0),
        ),
        mask_head=dict(predictor_cfg=dict(type="NormedConv2d", tempearture=20)),
    )
)
