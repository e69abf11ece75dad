# Equals the official mask_rcnn_r50_fpn_sample1e-3_mstrain_pcb_2x_lvis_v0.5_fp16.
_base_ = ["rfs.py", "../_base_/pcb/published.py"]
model = dict(roi_head={{_base_.pcb.softmax}})
