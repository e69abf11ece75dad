# Plain baseline of mask_rcnn_r50_fpn_sample1e-3_mstrain_pcb_2x_lvis_v0.5_fp16.
_base_ = "softmax.py"
data = dict(
    train=dict(
        _delete_=True,
        type="ClassBalancedDataset",
        oversample_thr=1e-3,
        dataset={{_base_.data.train}},
    )
)
