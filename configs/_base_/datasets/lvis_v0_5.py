# LVIS v0.5.
_base_ = "lvis.py"
num_classes = 1230  # the configs of this dataset refer to this number
data_root = "data/lvis_v0.5/"
data = dict(
    train=dict(
        ann_file=data_root + "annotations/lvis_v0.5_train.json", img_prefix=data_root + "train2017"
    ),
    val=dict(
        ann_file=data_root + "annotations/lvis_v0.5_val.json", img_prefix=data_root + "val2017"
    ),
)
