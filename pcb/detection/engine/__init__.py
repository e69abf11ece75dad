"""Training and prediction with mmcv's runner."""
