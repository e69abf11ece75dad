"""Training and inference with mmcv's runner."""
