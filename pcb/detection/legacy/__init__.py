"""Fixes and replacements that mmcv 1.7 and mmdet 2.28 need to work with current packages."""
