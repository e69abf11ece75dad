"""The notebooks that evaluate a grid of training runs, and the main figures of each notebook.

The main figures are shown on the web page of the grid. All other figures are shown only on the web
page of their notebook. Figures are listed by file name; ``*`` stands for any text.
"""

from __future__ import annotations

# Notebooks about a whole dataset, in the order in which the page shows them.
OF_DATASET = {
    "05_compare": ("ap_difference", "gain_by_role_*", "ap_by_group", "ap_by_class_*"),
    "00_dataset": ("class_tail", "look_alikes", "training_images"),
}
# Notebooks about one run, in the order in which the workflow runs them.
OF_RUN = {
    "01_train": ("loss", "strength"),
    "02_evaluate": ("ap_by_image_count", "detections"),
    "03_confusion_matrix": (
        *("detection_confusion", "learned_confusion", "ground_truth_confusion"),
        *("group_heatmap", "confused_pairs"),
    ),
    "04_soft_labels": ("soft_label_bars", "soft_label_history", "soft_label_entropy"),
}
# Notebooks that compare a run with PCB to the same run without PCB.
OF_PAIR = {"06_changes": ("confusion_difference", "changed_pairs")}
NOTEBOOKS = (*OF_DATASET, *OF_RUN, *OF_PAIR)
