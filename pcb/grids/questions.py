"""The notebooks, in the order in which they are run, and what a page shows of each."""

from __future__ import annotations

# What the page shows of each notebook, in the order in which a reader asks: figures by file
# name, patterns allowed. The others are in the notebook's own page.
OF_DATASET = {
    "05_compare": ("ap_difference", "gain_by_role_*", "ap_by_group", "ap_by_class_*"),
    "00_dataset": ("class_tail", "look_alikes", "training_images"),
}
OF_RUN = {
    "01_train": ("loss", "strength"),
    "02_evaluate": ("ap_by_image_count", "detections"),
    "03_confusion_matrix": (
        *("detection_confusion", "learned_confusion", "ground_truth_confusion"),
        *("group_heatmap", "confused_pairs", "confusion_difference", "changed_pairs"),
    ),
    "04_soft_labels": ("soft_label_bars", "soft_label_history", "soft_label_entropy"),
}
