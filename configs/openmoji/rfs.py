# Softmax with repeat factor sampling (RFS).
_base_ = "softmax.py"
data = dict(
    train=dict(
        _delete_=True,
        type="ClassBalancedDataset",
        # The border of common and frequent, 100 of 640 images. LVIS's 1e-3 would repeat nothing.
        oversample_thr=100 / 640,
        dataset={{_base_.data.train}},
    )
)
