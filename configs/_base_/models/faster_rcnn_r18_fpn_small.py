# mask_rcnn_r18_fpn_small.py without its mask head, for data with boxes alone.
_base_ = "mask_rcnn_r18_fpn_small.py"
model = dict(type="FasterRCNN", roi_head=dict(mask_roi_extractor=None, mask_head=None))
