"""What mmcv 1.7 and mmdet 2.28 need to run with today's packages, and nothing else."""
