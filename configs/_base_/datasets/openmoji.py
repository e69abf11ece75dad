# OpenMoji-LT mini, made by `pcb openmoji data/openmoji/mini`.
num_classes = 40  # the configs of this dataset refer to this number
data_root = "data/openmoji/mini/"
normalize = dict(
    type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", flip_ratio=0.5),
    normalize,
    dict(type="Pad", size_divisor=32),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", "gt_bboxes", "gt_labels", "gt_masks"]),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="MultiScaleFlipAug",
        img_scale=(128, 128),
        flip=False,
        transforms=[
            dict(type="Resize", keep_ratio=True),
            normalize,
            dict(type="Pad", size_divisor=32),
            dict(type="ImageToTensor", keys=["img"]),
            dict(type="Collect", keys=["img"]),
        ],
    ),
]
data = dict(
    samples_per_gpu=4,
    workers_per_gpu=1,
    train=dict(
        type="LVISFormatDataset",
        ann_file=data_root + "annotations/train.json",
        img_prefix=data_root + "train",
        pipeline=train_pipeline,
    ),
    val=dict(
        type="LVISFormatDataset",
        ann_file=data_root + "annotations/val.json",
        img_prefix=data_root + "val",
        pipeline=test_pipeline,
    ),
    # The same classes with the frequencies of training.
    test=dict(
        type="LVISFormatDataset",
        ann_file=data_root + "annotations/val_prior.json",
        img_prefix=data_root + "val_prior",
        pipeline=test_pipeline,
    ),
)
