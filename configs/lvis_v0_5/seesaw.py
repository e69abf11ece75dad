# Plain baseline of mask_rcnn_r50_fpn_sample1e-3_seesaw_pcb_normed_mask_mstrain_2x_lvis_v0.5_fp16.
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
