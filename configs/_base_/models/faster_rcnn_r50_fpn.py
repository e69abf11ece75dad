# mask_rcnn_r50_fpn.py without its mask head, for data with boxes alone.
_base_ = "mask_rcnn_r50_fpn.py"
model = dict(type="FasterRCNN", roi_head=dict(mask_roi_extractor=None, mask_head=None))
