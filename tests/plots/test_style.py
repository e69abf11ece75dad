"""What all figures share: saved files, and pictures beside names."""

import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import plots
from pcb.plots.marks import picture_of, place_picture

DRAW = """
import matplotlib; matplotlib.use("agg")
import sys, numpy as np
from pcb import plots
figure, _ = plots.confusion_heatmap(np.eye(3), ["cat", "fox", "yak"])
plots.save(figure, sys.argv[1], "a")
"""


@pytest.mark.slow
def test_a_figure_has_the_same_bytes_in_every_process(tmp_path):
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", DRAW, tmp_path / seed], env=environment, check=True)
    for name in ("a.png", "a.pdf"):
        content = (tmp_path / "1" / name).read_bytes()
        assert content == (tmp_path / "2" / name).read_bytes()
        assert not any(word in content for word in (b"Date", b"atplotlib", b"Producer"))
    assert b"/FontFile2" in content  # TrueType, which stays text in an editor


def test_neither_file_is_written_if_one_cannot_be(tmp_path, monkeypatch):
    figure, axes = plt.subplots()
    plots.save(figure, tmp_path, "a")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"a.png", "a.pdf"}
    axes.plot([1, 2])
    draw = figure.savefig

    def fail_for_pdf(file, format, **look):
        if format == "pdf":
            raise OSError("no space left")
        draw(file, format=format, **look)

    monkeypatch.setattr(figure, "savefig", fail_for_pdf)
    with pytest.raises(OSError, match="no space"):
        plots.save(figure, tmp_path, "a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("shape", [(10, 80, 3), (80, 10, 4), (40, 40, 3)])
def test_longer_side_of_a_picture_has_the_given_size(shape):
    figure, axes = plt.subplots(dpi=72)
    box = place_picture(axes, np.zeros(shape, dtype=np.uint8), (0.5, 0.5), size=20)
    figure.draw_without_rendering()
    assert max(box.get_window_extent().size) == pytest.approx(20, abs=0.1)


def test_pictures_are_a_list_or_a_dict():
    picture = np.zeros((2, 2, 3))
    assert picture_of([None, picture], 1) is picture and picture_of([None, picture], 0) is None
    assert picture_of({7: picture}, 7) is picture and picture_of({7: picture}, 1) is None
