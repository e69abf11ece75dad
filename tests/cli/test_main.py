"""The command line: commands, and how mistakes of the user end."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from pcb.cli import main as cli
from pcb.cli.options import parse_cfg_options
from pcb.runs.metrics import read_metrics

CATEGORIES = [
    {"id": 1, "name": "fox", "frequency": "f", "image_count": 200, "instance_count": 300},
    {"id": 2, "name": "wolf", "frequency": "r", "image_count": 3, "instance_count": 4},
]


def instance(category_id: int, x: float, **more) -> dict:
    """A square of 20 pixels on image 1."""
    corners = [x, 10.0, x + 20.0, 10.0, x + 20.0, 30.0, x, 30.0]
    annotation = {"image_id": 1, "category_id": category_id, "bbox": [x, 10.0, 20.0, 20.0]}
    return annotation | {"segmentation": [corners], "area": 400.0} | more


def detection(category_id: int, x: float, score: float, image_id: int = 1) -> dict:
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x, 10.0, 20.0, 20.0],
        "score": score,
    }


@pytest.fixture
def detections(tmp_path):
    """Ground truth and results: the fox is found, the wolf is mistaken for a fox."""
    ground_truth = {
        "info": {},
        "licenses": [],
        "images": [
            {
                "id": 1,
                "file_name": "1.png",
                "width": 100,
                "height": 100,
                "not_exhaustive_category_ids": [],
                "neg_category_ids": [1, 2],
            }
        ],
        "annotations": [instance(1, 0.0, id=1), instance(2, 50.0, id=2)],
        "categories": [{**c, "synset": f"{c['name']}.n.01"} for c in CATEGORIES],
    }
    results = [detection(1, 0.0, 0.9), detection(1, 50.0, 0.8)]
    for name, content in (("gt", ground_truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return str(tmp_path / "gt.json"), str(tmp_path / "results.json")


def test_evaluate_prints_and_writes(detections, tmp_path, capsys):
    out = tmp_path / "out" / "metrics.json"
    assert cli.main(["evaluate", *detections, "--iou-type", "bbox", "--out", str(out)]) == 0
    printed, written = capsys.readouterr().out.split("Written:")
    assert str(out) in written
    assert "APr" in printed and "bbox" in printed and "n/a" in printed and " -1" not in printed
    metrics = read_metrics(out)
    assert list(metrics) == ["bbox"]
    assert metrics["bbox"]["APf"] > 0.9 and metrics["bbox"]["APr"] == 0
    assert np.isnan(metrics["bbox"]["APl"])  # there is no large object
    assert json.loads(out.read_text())["bbox"]["APl"] is None


def test_confusion_names_the_mistake(detections, tmp_path, capsys):
    for suffix in ("npz", "csv"):
        out = tmp_path / f"matrix.{suffix}"
        assert cli.main(["confusion", *detections, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "objects 2: right class 1, other class 1, missed 0" in printed
    assert "wolf mistaken for fox" in printed
    matrix = np.load(tmp_path / "matrix.npz")
    np.testing.assert_array_equal(matrix["detections"], [[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    rows = (tmp_path / "matrix.csv").read_text().splitlines()
    assert rows[0] == "true class,fox,wolf,missed"
    assert [row.split(",")[0] for row in rows[1:]] == ["fox", "wolf", "background"]


def test_two_classes_with_the_same_name_stay_separate(detections, tmp_path, capsys):
    gt, results = detections
    ground_truth = json.loads((tmp_path / "gt.json").read_text())
    for category, name in zip(ground_truth["categories"], ("red_fox", "red fox"), strict=True):
        category["name"] = name
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    assert cli.main(["confusion", gt, results, "--out", str(tmp_path / "matrix.csv")]) == 0
    assert "red fox (2) mistaken for red_fox (1)" in capsys.readouterr().out
    rows = [row.split(",") for row in (tmp_path / "matrix.csv").read_text().splitlines()]
    assert rows[0] == ["true class", "red_fox (1)", "red fox (2)", "missed"]
    assert rows[2] == ["red fox (2)", "1", "0", "0"]


def test_score_threshold_reaches_the_matrix(detections, capsys):
    assert cli.main(["confusion", *detections, "--score-threshold", "0.85"]) == 0
    assert "right class 1, other class 0, missed 1" in capsys.readouterr().out


def test_confusion_reports_what_it_leaves_out(detections, capsys):
    gt, results = detections
    with open(gt) as file:
        ground_truth = json.load(file)
    ground_truth["images"][0]["not_exhaustive_category_ids"] = [1]
    with open(results) as file:
        found = json.load(file)
    # Both matching foxes count. Of the other detections, only the wolf is known to be wrong.
    found += [detection(1, 25.0, 0.7), detection(1, 75.0, 0.6), detection(2, 75.0, 0.5)]
    for name, content in ((gt, ground_truth), (results, found)):
        with open(name, "w") as file:
            json.dump(content, file)
    assert cli.main(["confusion", gt, results]) == 0
    printed = capsys.readouterr().out
    assert "right class 1, other class 1, missed 0; detections on background 1\n" in printed
    assert "not fully annotated in the image: 2\n" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "{missing}", "{results}"],
        ["evaluate", "{results}", "{results}"],  # not an annotation file
        ["evaluate", "{gt}", "{gt}"],  # not results
        ["confusion", "{missing}", "{results}"],
        ["train", "configs/openmoji/sofmax.py"],
        ["train", "configs/openmoji/softmax.py", "--cfg-options", "nonsense"],
    ],
)
def test_mistake_is_one_line_and_status_2(detections, tmp_path, capsys, arguments):
    gt, results = detections
    names = {"gt": gt, "results": results, "missing": str(tmp_path / "missing.json")}
    assert cli.main([word.format(**names) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("pcb: error: ")
    assert error.count("pcb: error: ") == 1 and "Traceback" not in error


def test_mistake_leaves_the_earlier_output(detections, tmp_path):
    gt, results = detections
    out = tmp_path / "metrics.json"
    assert cli.main(["evaluate", gt, results, "--iou-type", "bbox", "--out", str(out)]) == 0
    before = out.read_bytes()
    (tmp_path / "results.json").write_text(json.dumps([detection(1, 0.0, 0.9, image_id=7)]))
    assert cli.main(["evaluate", gt, results, "--iou-type", "bbox", "--out", str(out)]) == 2
    assert out.read_bytes() == before


def test_bug_keeps_its_traceback(monkeypatch):
    def buggy(options):
        int("not a number of the user's")

    monkeypatch.setattr(cli, "_doctor", buggy)
    # `int` has no frame of its own: pretend that the error comes from another package.
    monkeypatch.setattr(cli, "is_for_the_user", lambda error: False)
    with pytest.raises(ValueError, match="not a number"):
        cli.main(["doctor"])


def test_errors_of_the_kit_and_of_files_are_for_the_user(tmp_path):
    def caught(function, *arguments):
        try:
            function(*arguments)
        except Exception as error:
            return error

    assert cli.is_for_the_user(caught(parse_cfg_options, ["x"]))
    assert cli.is_for_the_user(caught(open, tmp_path / "missing"))
    assert not cli.is_for_the_user(caught(json.loads, "{"))


def test_missing_package_says_how_to_get_it(monkeypatch, capsys):
    def needs_a_package(options):
        raise ModuleNotFoundError("No module named 'mmdet'", name="mmdet")

    monkeypatch.setattr(cli, "_doctor", needs_a_package)
    assert cli.main(["doctor"]) == 2
    assert "'mmdet' is missing; run `make setup`" in capsys.readouterr().err


def test_interrupt_is_quiet(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_doctor", interrupted)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "pcb: interrupted\n"


@pytest.mark.parametrize(
    "words, options",
    [
        (["a.b=1", "a.c=[1, 2]", "d=(1, 2)"], {"a.b": 1, "a.c": [1, 2], "d": (1, 2)}),
        (["x=true", "y=True", "z=None", "s=text"], {"x": True, "y": True, "z": None, "s": "text"}),
        (["path=a=b", "empty="], {"path": "a=b", "empty": ""}),
        (['{"a.b": {"c": null}}', "d=1"], {"a.b": {"c": None}, "d": 1}),
    ],
)
def test_cfg_options_are_read_as_values(words, options):
    assert parse_cfg_options(words) == options


@pytest.mark.parametrize("word", ["nonsense", "=1", '{"a": '])
def test_wrong_cfg_option_is_named(word):
    with pytest.raises(ValueError, match="--cfg-options"):
        parse_cfg_options([word])


def test_matrix_file_must_have_a_known_suffix(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["confusion", "gt.json", "results.json", "--out", "matrix.txt"])
    assert exit_.value.code == 2
    assert "must end in .npz or .csv, got 'matrix.txt'" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    program = (
        "import sys; import pcb.cli.main as c; c.build_parser().format_help(); print(*sys.modules)"
    )
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "mmcv", "matplotlib"} & set(modules)


OUTPUTS = {"evaluate": "out.json", "confusion": "out.csv"}


@pytest.fixture(params=["evaluate", "confusion"])
def door(request) -> str:
    return request.param


def refused(capsys, words: list[str], *parts: str) -> None:
    """The command ends with one line that contains all parts, before any work."""
    assert cli.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    for part in ("pcb: error: --out ", *parts):
        assert part in printed.err


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("way", ["itself", "symlink", "hard link", "spelling", "folder link"])
@pytest.mark.parametrize("which", [0, 1])
def test_no_input_is_overwritten(tmp_path, capsys, detections, door, way, which, force):
    # Give the inputs the suffix that the output needs.
    suffix = OUTPUTS[door][3:]
    inputs = [str(tmp_path / f"in{i}{suffix}") for i in range(2)]
    for file, name in zip(inputs, detections, strict=True):
        os.rename(name, file)
    out = tmp_path / OUTPUTS[door]
    target = inputs[which]
    if way == "symlink":
        out.symlink_to(target)
    elif way == "hard link":
        out.hardlink_to(target)
    elif way == "spelling":
        (tmp_path / "sub").mkdir()
        out = tmp_path / "sub" / ".." / Path(target).name
    elif way == "folder link":
        (tmp_path / "link").symlink_to(tmp_path)
        out = tmp_path / "link" / Path(target).name
    else:
        out = Path(target)
    before = [Path(file).read_bytes() for file in inputs]
    refused(capsys, [door, *inputs, "--out", str(out), *force], "is the input")
    assert [Path(file).read_bytes() for file in inputs] == before
    assert out.samefile(target)


def test_no_file_of_another_kind_is_overwritten(tmp_path, capsys, detections, door):
    out = tmp_path / OUTPUTS[door]
    words = [door, *detections, "--out", str(out)]
    for foreign in ('{"images": [], "bbox": 1}', '{"AP": 0.5}', "true class", "a,b\n1,2\n", "[1]"):
        out.write_text(foreign)
        refused(capsys, words, "not an earlier result", "--force")
        assert out.read_text() == foreign
    assert cli.main([*words, "--force"]) == 0
    first = out.read_bytes()
    assert cli.main(words) == 0  # its own output
    out.write_bytes(b"")
    assert cli.main(words) == 0  # an empty file
    assert out.read_bytes() == first
    capsys.readouterr()


def test_other_json_files_are_of_another_kind(tmp_path, capsys, detections):
    out = tmp_path / "metrics.json"
    for foreign in ("{}", '{"bbox": {"AP": 0.5, "remark": "mine"}}'):
        out.write_text(foreign)
        refused(capsys, ["evaluate", *detections, "--out", str(out)], "not an earlier result")
        assert out.read_text() == foreign


def test_link_at_out_is_kept(tmp_path, capsys, detections, door):
    file, link = tmp_path / f"kept{Path(OUTPUTS[door]).suffix}", tmp_path / OUTPUTS[door]
    link.symlink_to(file.name)
    for _ in range(2):  # a broken link, then a link to the first output
        assert cli.main([door, *detections, "--out", str(link)]) == 0
        assert link.is_symlink() and file.is_file()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    below = tmp_path / "below.csv"
    below.symlink_to(file / "deep.csv")
    capsys.readouterr()
    for out, part in ((tmp_path / "loop.csv", "leads back to itself"), (below, "not a folder")):
        refused(capsys, [door, *detections, "--out", str(out)], part)
        assert out.is_symlink()


def test_out_is_not_where_the_command_prints(tmp_path, detections, door):
    """As `/dev/stdout` is, which a superuser's own write would replace."""
    file = tmp_path / OUTPUTS[door]
    words = [sys.executable, "-m", "pcb", door, *detections, "--out", str(file)]
    with file.open("w") as stream:
        ended = subprocess.run(words, stdout=stream, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2 and file.read_text() == ""
    assert "also receives the printed output of this command" in ended.stderr


def test_long_names_of_outputs(tmp_path, capsys, detections, door):
    suffix = Path(OUTPUTS[door]).suffix
    out = tmp_path / ("\N{DUCK}" * 60 + suffix)  # of 255 bytes at most
    assert cli.main([door, *detections, "--out", str(out)]) == 0
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    capsys.readouterr()


def test_no_other_archive_is_overwritten(tmp_path, capsys, detections):
    out = tmp_path / "confusion.npz"  # of a run
    np.savez(out, learned=np.eye(2))
    words = ["confusion", *detections, "--out", str(out)]
    refused(capsys, words, "not an earlier result")
    assert list(np.load(out)) == ["learned"]
    assert cli.main([*words, "--force"]) == 0 and cli.main(words) == 0
    capsys.readouterr()


def test_impossible_outputs_are_refused_before_the_work(tmp_path, capsys, door, monkeypatch):
    import pcb.datasets.lvis
    import pcb.evaluation

    for module, name in ((pcb.evaluation, "evaluate"), (pcb.datasets.lvis, "read_annotations")):
        monkeypatch.setattr(module, name, None)
    (tmp_path / "file").write_text("of somebody")
    folder = tmp_path / OUTPUTS[door]
    folder.mkdir()
    pipe = tmp_path / f"pipe{folder.suffix}"
    os.mkfifo(pipe)
    for out, part in (
        (folder, "is a folder"),
        (tmp_path / "file" / folder.name, f"is below {tmp_path / 'file'}, which is not a folder"),
        (tmp_path / "file" / "deep" / folder.name, "which is not a folder"),
        (pipe, "is not a regular file"),
    ):
        refused(capsys, [door, "gt.json", "results.json", "--out", str(out)], part)
    if door == "evaluate":
        refused(capsys, [door, "gt", "results", "--out", str(tmp_path / "a.json.gz")], "compressed")


@pytest.mark.parametrize(
    "words, part",
    [
        (["confusion", "a", "b", "--score-threshold", "nan"], "must be a finite number, got 'nan'"),
        (["confusion", "a", "b", "--score-threshold", "inf"], "must be a finite number, got 'inf'"),
        (["confusion", "a", "b", "--score-threshold", "high"], "must be a finite number"),
        (["confusion", "a", "b", "--iou-threshold", "0"], "must lie in (0, 1], got '0'"),
        (["confusion", "a", "b", "--iou-threshold", "50"], "must lie in (0, 1], got '50'"),
        (["confusion", "a", "b", "--iou-threshold", "nan"], "must lie in (0, 1], got 'nan'"),
        (["train", "c", "--seed", "-1"], "must be a whole number in [0, 4294967295]"),
        (["train", "c", "--seed", "4294967296"], "must be a whole number in [0, 4294967295]"),
        (["train", "c", "--seed", "1.5"], "must be a whole number in [0, 4294967295]"),
        (["openmoji", "out", "--seed", "9" * 400], "must be a whole number in [0, 4294967295]"),
        (["openmoji", "out", "--seed", "-1"], "must be a whole number in [0, 4294967295]"),
    ],
)
def test_numbers_out_of_range_are_refused_by_the_parser(capsys, words, part):
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {words[-2]}: {part}" in error


def test_help_states_the_range_of_every_number(capsys):
    for words, ranges in {
        "confusion": ["in (0, 1] (default: 0.5)", "a finite number (default: 0.3)"],
        "train": ["a whole number in [0, 4294967295] (default: 0)"],
        "openmoji": ["a whole number in [0, 4294967295] (default: 0)"],
    }.items():
        with pytest.raises(SystemExit):
            cli.main([words, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        for numbers in ranges:
            assert numbers in text


def test_warnings_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    assert cli.main(["evaluate", "absent.json", "absent.json"]) == cli.USER_ERROR
    shown = warnings.formatwarning("2 classes do not\noccur", UserWarning, "file.py", 7, "code()")
    assert shown == "warning: 2 classes do not occur\n"
