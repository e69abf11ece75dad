# Equals the official mask_rcnn_r101_fpn_sample1e-3_seesaw_pcb_normed_mask_mstrain_2x_lvis_v1_fp16.
_base_ = ["seesaw_r101.py", "../_base_/pcb/published.py"]
model = dict(roi_head={{_base_.pcb.seesaw}})
