"""The notebooks of a grid, and the figures that its page shows of each.

Figures are given by file name, patterns allowed. The others are in the notebook's own page. The
notebook ``method`` is not here, because it asks nothing of a run.
"""

from __future__ import annotations

# Questions about a whole dataset, in the order in which a reader asks them.
OF_DATASET = {
    "05_compare": ("ap_difference", "gain_by_role_*", "ap_by_group", "ap_by_class_*"),
    "00_dataset": ("class_tail", "look_alikes", "training_images"),
}
# Questions about a run, in the order in which they are run.
OF_RUN = {
    "01_train": ("loss", "strength"),
    "02_evaluate": ("ap_by_image_count", "detections"),
    "03_confusion_matrix": (
        *("detection_confusion", "learned_confusion", "ground_truth_confusion"),
        *("group_heatmap", "confused_pairs"),
    ),
    "04_soft_labels": ("soft_label_bars", "soft_label_history", "soft_label_entropy"),
}
# Questions about a run with PCB and the same run without it.
OF_PAIR = {"06_changes": ("confusion_difference", "changed_pairs")}
NOTEBOOKS = (*OF_DATASET, *OF_RUN, *OF_PAIR)
