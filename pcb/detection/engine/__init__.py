"""Training of mmdet detectors, and prediction with trained detectors."""
