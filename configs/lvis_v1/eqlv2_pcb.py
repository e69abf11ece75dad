# Equals the official mask_rcnn_r50_fpn_mstrain_eqlv2_pcb_2x_lvis_v1_fp16.
_base_ = ["eqlv2.py", "../_base_/pcb/published.py"]
model = dict(roi_head={{_base_.pcb.eqlv2}})
