"""No code from data: names that try to act as code. Ruff refuses the calls that would run it."""

import ast
import csv
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcb.cli import main as cli
from pcb.grids.report import write_page
from pcb.messages.printable import display_names
from pcb.notebooks.execute import run_notebook
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_root

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "../../escaped",
    "/tmp/absolute",
    """a 'b' "c" `d`; touch owned""",
    "$(touch owned) && ${HOME} %s %(x)d {0} {{ fileDirname }}",
    r"$\frac$",
    "line\nbreak\ttab",
    "\u202eright to left, \\ backslash \\n",
    "'''\nimport os",
]

# Names of classes. Some act on a terminal or in a spreadsheet, and some are not valid text.
NAMES = [*HOSTILE, "\x1b]0;owned\x07\x9b2J", "\ud83e", "=cmd|' /C calc'!A1", "@SUM(1)", "+1", "-1"]
NAMES += ["twin", "twin", "hot_dog", "hot dog", "\x00", "y" * 5000, "y" * 5001]


def test_no_rule_of_snakemake_is_a_shell_command():
    snakefile = (repository_root() / "workflow/Snakefile").read_text()
    assert "shell:" not in snakefile and "shell(" not in snakefile


TEXTS = st.one_of(st.text(), st.sampled_from(HOSTILE))
LITERALS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS).filter(
        lambda value: value not in (float("inf"), -float("inf"))
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(value=LITERALS, path=TEXTS.map(lambda text: text.replace("\ud83d", "")))
def test_dumped_config_is_data(tmp_path_factory, value, path):
    """Every value of a config or a path is read back unchanged, as a literal."""
    from mmcv.utils import Config

    from pcb.detection.config.loading import save_config

    run = RunFolder(tmp_path_factory.getbasetemp() / "dumped")
    train = {"type": "LVISFormatDataset", "ann_file": path, "note": value}
    save_config(Config({"data": {"train": train}, "value": value}), run.config_file)
    expected = {"data": {"train": train}, "value": value}
    assert run.read_config() == expected
    statements = ast.parse(run.config_file.read_text()).body
    assert [type(statement) for statement in statements] == [ast.Assign] * 2


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """The sample dataset and run with hostile names of classes, folders and files."""
    folder = tmp_path_factory.mktemp("hostile") / "a 'b' \"c\"; $(touch owned) %s <i>\\n"
    sample = Path(shutil.copytree(repository_root() / "sample/openmoji", folder / "data"))
    annotations = sample / "annotations" / "val.json"
    from pcb.datasets import read_annotations

    content = read_annotations(sample / "annotations" / "val.json.gz").to_dict()
    for category, name in zip(content["categories"], NAMES, strict=False):
        category["name"] = name
    annotations.write_text(json.dumps(content))
    run = RunFolder(sample / "softmax_pcb" / "seed0")
    config = run.read_config()
    config["data"]["val"] |= {"ann_file": str(annotations), "img_prefix": str(sample / "val")}
    lines = [f"{key} = {value!r}\n" for key, value in config.items()]
    run.config_file.write_text("".join(lines))
    return folder


@pytest.mark.slow
def test_notebook_of_hostile_names(hostile):
    """The page shows them; they become neither files nor elements of the page."""
    run = RunFolder(hostile / "data" / "softmax_pcb" / "seed0")
    outside = set(hostile.parent.rglob("*"))
    more = list(range(len(HOSTILE), len(NAMES)))
    parameters = {"work_dir": str(run.path), "classes": [*HOSTILE, *more]}
    page = run.path / "page.html"
    run_notebook(
        repository_root() / "notebooks/04_soft_labels.ipynb",
        parameters,
        run.path / "executed.ipynb",
        page,
    )
    new = set(hostile.parent.rglob("*")) - outside
    drawn = {path for path in new if path.parent == run.figures}
    assert new - drawn <= {page, run.path / "executed.ipynb", run.figures}
    assert drawn and all(path.stem.replace("_", "").isalpha() for path in drawn)
    assert not (repository_root() / "owned").exists()
    html = page.read_text()
    assert "<script>document" not in html and "&lt;script&gt;document" in html
    assert not set(html) & set("\x1b\x07\x9b\x00")


def test_matrix_of_hostile_names(hostile):
    sample = hostile / "data"
    results = next((sample / "softmax_pcb" / "seed0" / "predictions").glob("bbox.json*"))
    out = hostile / "<b>matrix.csv"
    words = ["confusion", str(sample / "annotations" / "val.json"), str(results)]
    assert cli.main([*words, "--out", str(out)]) == 0
    with open(out, newline="") as file:
        rows = list(csv.reader(file))
    shown = display_names(NAMES)
    expected = [f"'{name}" if name[0] in "=+-@" else name for name in shown]
    assert rows[0][1 : 1 + len(NAMES)] == expected
    assert [row[0] for row in rows[1 : 1 + len(NAMES)]] == expected
    assert len(set(rows[0])) == len(rows[0]) and max(map(len, rows[0])) < 100
    assert all(cell.isdecimal() for row in rows[1:] for cell in row[1:])  # numbers are unchanged


@pytest.mark.parametrize("spoilt", ["\x1b[2J\x07", "\ud83e", "\x9b31m\nTrained"])
def test_errors_show_what_they_quote(spoilt, tmp_path, capsys):
    """A value of a file or a path is shown in the terminal as text on one line."""
    bad = tmp_path / "gt.json"
    bad.write_text(json.dumps({"images": [], "annotations": [], "categories": [{"id": spoilt}]}))
    for path in (bad, tmp_path / f"a{spoilt.replace(chr(0xD83E), chr(0xDCFF))}.json"):
        assert cli.main(["evaluate", str(path), str(bad)]) == cli.USER_ERROR
        said = capsys.readouterr().err
        assert said.startswith("pcb: error: ") and said.count("\n") == 1
        assert said.strip().isprintable()
        said.encode("utf-8")


def test_a_table_of_a_run_holds_no_formula(tmp_path):
    rows = [{"true": "=1+1", "change": -0.5}, {"true": "\ud83e\x1b", "change": 2}]
    text = RunFolder(tmp_path).write_table("pairs", rows).read_text(encoding="utf-8")
    assert text == "true,change\n'=1+1,-0.5\n\\ud83e\\x1b,2\n"


def test_index_of_hostile_names(tmp_path):
    run = RunFolder(tmp_path / "<i>data" / "'\"><script>x</script>"[:8] / "seed0").create()
    run.write_metrics({"segm": {"AP": 0.5}})
    run.write_environment({"device": "<script>alert(1)</script>", "seed": 0})
    (run.figures / "<b>loss.png").write_bytes(b"")
    (run.path / "01_train.html").write_text("")
    html = write_page(tmp_path, HOSTILE[0]).read_text()
    body = html.replace("</script>", "")
    assert "<script>" not in body and "<i>" not in body and "<b>" not in body
    assert "&lt;i&gt;data" in html and "&lt;script&gt;document" in html
