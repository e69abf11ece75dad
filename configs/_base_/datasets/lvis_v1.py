# LVIS v1. Its annotations name images with their folder, because validation images lie in two.
_base_ = "lvis.py"
num_classes = 1203  # the configs of this dataset refer to this number
data_root = "data/lvis_v1/"
data = dict(
    train=dict(ann_file=data_root + "annotations/lvis_v1_train.json", img_prefix=data_root),
    val=dict(ann_file=data_root + "annotations/lvis_v1_val.json", img_prefix=data_root),
)
