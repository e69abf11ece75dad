# LVIS v1. Its annotations name an image with its folder, since those for validation lie in two.
_base_ = "lvis.py"
num_classes = 1203  # every config of this dataset refers to this number
data_root = "data/lvis_v1/"
data = dict(
    train=dict(ann_file=data_root + "annotations/lvis_v1_train.json", img_prefix=data_root),
    val=dict(ann_file=data_root + "annotations/lvis_v1_val.json", img_prefix=data_root),
)
