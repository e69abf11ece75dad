model = {
    "type": "MaskRCNN",
    "backbone": {
        "type": "ResNet",
        "depth": 18,
        "base_channels": 32,
        "num_stages": 3,
        "strides": (1, 2, 2),
        "dilations": (1, 1, 1),
        "out_indices": (0, 1, 2),
        "frozen_stages": -1,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": False,
        "style": "pytorch",
    },
    "neck": {
        "type": "FPN",
        "in_channels": [32, 64, 128],
        "out_channels": 32,
        "num_outs": 3,
        "norm_cfg": {"type": "BN"},
    },
    "rpn_head": {
        "type": "RPNHead",
        "in_channels": 32,
        "feat_channels": 32,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "scales": [5],
            "ratios": [0.5, 1.0, 2.0],
            "strides": [4, 8, 16],
        },
        "bbox_coder": {
            "type": "DeltaXYWHBBoxCoder",
            "target_means": [0.0, 0.0, 0.0, 0.0],
            "target_stds": [1.0, 1.0, 1.0, 1.0],
        },
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    },
    "roi_head": {
        "type": "IterativeRoIHead",
        "bbox_roi_extractor": {
            "type": "SingleRoIExtractor",
            "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 1},
            "out_channels": 32,
            "featmap_strides": [4, 8, 16],
            "finest_scale": 28,
        },
        "bbox_head": {
            "type": "Shared2FCBBoxHead",
            "in_channels": 32,
            "fc_out_channels": 256,
            "roi_feat_size": 7,
            "bbox_coder": {
                "type": "DeltaXYWHBBoxCoder",
                "target_means": [0.0, 0.0, 0.0, 0.0],
                "target_stds": [0.1, 0.1, 0.2, 0.2],
            },
            "reg_class_agnostic": True,
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
            "num_classes": 40,
            "loss_cls": {
                "type": "CrossEntropyPCBLoss",
                "num_classes": 40,
                "alpha": 0.4,
                "momentum": 0.92,
                "start_epoch": 4,
            },
        },
        "mask_roi_extractor": {
            "type": "SingleRoIExtractor",
            "roi_layer": {"type": "RoIAlign", "output_size": 14, "sampling_ratio": 1},
            "out_channels": 32,
            "featmap_strides": [4, 8, 16],
            "finest_scale": 28,
        },
        "mask_head": {
            "type": "FCNMaskHead",
            "num_convs": 2,
            "in_channels": 32,
            "conv_out_channels": 32,
            "norm_cfg": {"type": "BN"},
            "class_agnostic": True,
            "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 2.0},
            "num_classes": 40,
        },
        "n_iter": 3,
        "mlp_layers": 2,
        "iter_loss_weight": [0.2, 0.2, 0.6],
        "reg_iter": 2,
        "use_layer_norm": False,
        "identity_init": True,
    },
    "train_cfg": {
        "rpn": {
            "assigner": {
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.7,
                "neg_iou_thr": 0.3,
                "min_pos_iou": 0.3,
                "match_low_quality": True,
                "ignore_iof_thr": -1,
            },
            "sampler": {
                "type": "RandomSampler",
                "num": 64,
                "pos_fraction": 0.5,
                "neg_pos_ub": -1,
                "add_gt_as_proposals": False,
            },
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "rpn_proposal": {
            "nms_pre": 200,
            "max_per_img": 100,
            "nms": {"type": "nms", "iou_threshold": 0.7},
            "min_bbox_size": 0,
        },
        "rcnn": {
            "assigner": {
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.5,
                "neg_iou_thr": 0.5,
                "min_pos_iou": 0.5,
                "match_low_quality": False,
                "ignore_iof_thr": -1,
            },
            "sampler": {
                "type": "RandomSampler",
                "num": 32,
                "pos_fraction": 0.5,
                "neg_pos_ub": -1,
                "add_gt_as_proposals": True,
            },
            "mask_size": 28,
            "pos_weight": -1,
            "debug": False,
        },
    },
    "test_cfg": {
        "rpn": {
            "nms_pre": 200,
            "max_per_img": 100,
            "nms": {"type": "nms", "iou_threshold": 0.7},
            "min_bbox_size": 0,
        },
        "rcnn": {
            "score_thr": 0.005,
            "nms": {"type": "nms", "iou_threshold": 0.5},
            "max_per_img": 50,
            "mask_thr_binary": 0.5,
        },
    },
}
num_classes = 40
data_root = "data/openmoji/mini/"
normalize = {
    "type": "Normalize",
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "to_rgb": True,
}
train_pipeline = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "RandomFlip", "flip_ratio": 0.5},
    {
        "type": "Normalize",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "to_rgb": True,
    },
    {"type": "Pad", "size_divisor": 32},
    {"type": "DefaultFormatBundle"},
    {"type": "Collect", "keys": ["img", "gt_bboxes", "gt_labels", "gt_masks"]},
]
test_pipeline = [
    {"type": "LoadImageFromFile"},
    {
        "type": "MultiScaleFlipAug",
        "img_scale": (128, 128),
        "flip": False,
        "transforms": [
            {"type": "Resize", "keep_ratio": True},
            {
                "type": "Normalize",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "to_rgb": True,
            },
            {"type": "Pad", "size_divisor": 32},
            {"type": "ImageToTensor", "keys": ["img"]},
            {"type": "Collect", "keys": ["img"]},
        ],
    },
]
data = {
    "samples_per_gpu": 4,
    "workers_per_gpu": 1,
    "train": {
        "type": "LVISFormatDataset",
        "ann_file": "data/openmoji/mini/annotations/train.json",
        "img_prefix": "data/openmoji/mini/train",
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
            {"type": "RandomFlip", "flip_ratio": 0.5},
            {
                "type": "Normalize",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "to_rgb": True,
            },
            {"type": "Pad", "size_divisor": 32},
            {"type": "DefaultFormatBundle"},
            {"type": "Collect", "keys": ["img", "gt_bboxes", "gt_labels", "gt_masks"]},
        ],
    },
    "val": {
        "type": "LVISFormatDataset",
        "ann_file": "data/openmoji/mini/annotations/val.json",
        "img_prefix": "data/openmoji/mini/val",
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {
                "type": "MultiScaleFlipAug",
                "img_scale": (128, 128),
                "flip": False,
                "transforms": [
                    {"type": "Resize", "keep_ratio": True},
                    {
                        "type": "Normalize",
                        "mean": [123.675, 116.28, 103.53],
                        "std": [58.395, 57.12, 57.375],
                        "to_rgb": True,
                    },
                    {"type": "Pad", "size_divisor": 32},
                    {"type": "ImageToTensor", "keys": ["img"]},
                    {"type": "Collect", "keys": ["img"]},
                ],
            },
        ],
    },
    "test": {
        "type": "LVISFormatDataset",
        "ann_file": "data/openmoji/mini/annotations/val_prior.json",
        "img_prefix": "data/openmoji/mini/val_prior",
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {
                "type": "MultiScaleFlipAug",
                "img_scale": (128, 128),
                "flip": False,
                "transforms": [
                    {"type": "Resize", "keep_ratio": True},
                    {
                        "type": "Normalize",
                        "mean": [123.675, 116.28, 103.53],
                        "std": [58.395, 57.12, 57.375],
                        "to_rgb": True,
                    },
                    {"type": "Pad", "size_divisor": 32},
                    {"type": "ImageToTensor", "keys": ["img"]},
                    {"type": "Collect", "keys": ["img"]},
                ],
            },
        ],
    },
}
runner = {"type": "EpochBasedRunner", "max_epochs": 5}
optimizer = {"type": "AdamW", "lr": 0.001, "weight_decay": 0.05, "fused": True}
optimizer_config = {"grad_clip": {"max_norm": 10.0}}
lr_config = {
    "policy": "step",
    "step": [3],
    "warmup": "linear",
    "warmup_iters": 100,
    "warmup_ratio": 0.01,
}
fp16 = {}
log_config = {"interval": 10}
custom_imports = {"imports": ["pcb.detection"]}
custom_hooks = [{"type": "LossEpochUpdateHook"}]
pcb = {
    "softmax": {
        "type": "IterativeRoIHead",
        "n_iter": 3,
        "mlp_layers": 2,
        "iter_loss_weight": [0.2, 0.2, 0.6],
        "reg_iter": 2,
        "use_layer_norm": False,
        "bbox_head": {"loss_cls": {"start_epoch": 4, "momentum": 0.92, "alpha": 0.4}},
        "identity_init": True,
    },
    "seesaw": {
        "type": "IterativeRoIHead",
        "n_iter": 3,
        "mlp_layers": 2,
        "iter_loss_weight": [0.2, 0.2, 0.6],
        "reg_iter": 2,
        "use_layer_norm": False,
        "bbox_head": {"loss_cls": {"start_epoch": 4, "momentum": 0.92, "alpha": 0.05}},
        "identity_init": True,
    },
    "eqlv2": {
        "type": "IterativeRoIHead",
        "n_iter": 3,
        "mlp_layers": 2,
        "iter_loss_weight": [0.2, 0.2, 0.6],
        "reg_iter": 2,
        "use_layer_norm": True,
        "bbox_head": {"loss_cls": {"start_epoch": 4, "momentum": 0.92, "alpha_pcb": 0.2}},
        "identity_init": True,
    },
}
