"""Make mmcv 1.7 and mmdet 2.28 work with current versions of other packages."""
