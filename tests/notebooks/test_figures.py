"""Figures of a notebook: one call draws and saves, and nothing is replaced silently."""

import matplotlib.pyplot as plt
import pytest

from pcb import plots
from pcb.notebooks.figures import Figures


def test_other_settings_are_reported_before_figures_are_replaced(tmp_path, capsys):
    settings = {"work_dir": "a", "config": "", "seed": 0, "order": "name", "pairs": 12}
    for _ in range(2):
        figures = Figures(tmp_path, "confusion_matrix", settings)
        assert figures.folder == tmp_path / "figures"
        (figures.folder / "learned_confusion.png").touch()
    of_another_run = {"work_dir": "", "config": "a.py", "seed": 1, "gpus": 2, "replace": True}
    Figures(tmp_path, "confusion_matrix", settings | of_another_run)
    Figures(tmp_path, "soft_labels", {"order": "cluster"})  # its figures have other names
    assert capsys.readouterr().out == ""
    Figures(tmp_path, "confusion_matrix", settings | {"order": "cluster"})
    line = f"Replacing the figures in {tmp_path / 'figures'} that were drawn with order 'name'\n"
    assert capsys.readouterr().out == line
    (tmp_path / "figures" / "learned_confusion.png").unlink()
    Figures(tmp_path, "confusion_matrix", settings)
    assert capsys.readouterr().out == ""  # there is nothing to replace


def test_figures_are_laid_out_as_the_parameters_ask(tmp_path):
    with plots.use():  # restored afterwards
        figures = Figures(tmp_path, "dataset", {"width": "column", "titles": False})
        drawn = plots.class_tail([9, 1], ["f", "r"], ["fox", "wolf"])
        figures.save("class_tail", drawn)
    assert drawn[0].get_figwidth() == 3.25
    plt.close(drawn[0])
    files = {path.name for path in figures.folder.iterdir()}
    assert files == {"class_tail.png", "class_tail.pdf", "dataset_settings.json"}


def test_wrong_width_is_refused(tmp_path):
    with pytest.raises(ValueError, match="width must be"):
        Figures(tmp_path, "dataset", {"width": "row"})
