"""The report on a grid: every link resolves, text is escaped, differences are right."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pcb.cli.main import main
from pcb.grids.questions import OF_DATASET, OF_PAIR, OF_RUN
from pcb.grids.report import write_page
from pcb.grids.results import read_results
from pcb.grids.table import legend, text_table
from pcb.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PNG = bytes.fromhex("89504e470d0a1a0a")


class Links(HTMLParser):
    """Collects the tags of a page and the targets of its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.targets, self.tags = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.targets += [value for name, value in attributes if name in ("href", "src")]

    @property
    def local(self) -> list[str]:
        return [target for target in self.targets if not target.startswith("https://")]


def make_run(root: Path, name: str, **segm: float) -> RunFolder:
    run = RunFolder(root / name).create()
    run.write_metrics({"segm": segm, "bbox": {"AP": 0.2}})
    run.config_file.touch()
    run.write_environment({"device": "cpu", "torch": "2.11.0"})
    for page in ("01_train", "02_evaluate", "03_confusion_matrix", "04_soft_labels"):
        (run.path / f"{page}.html").touch()
    (run.figures / "loss.png").write_bytes(PNG)
    return run


def table_of(root: Path) -> str:
    return text_table(read_results(root).rows)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    make_run(tmp_path, "openmoji/softmax/seed0", AP=0.30, APr=0.125, APc=0.3)
    make_run(tmp_path, "openmoji/softmax_pcb/seed0", AP=0.31, APr=0.100, APc=float("nan"))
    make_run(tmp_path, "my data & <more>/100% new/seed0", AP=0.1)
    dataset = tmp_path / "openmoji"
    for page in ("00_dataset", "05_compare"):
        (dataset / f"{page}.html").touch()
    (dataset / "figures").mkdir()
    (dataset / "figures" / "class_tail.png").write_bytes(PNG)
    return tmp_path


def test_every_link_resolves_and_every_page_is_linked(grid):
    page = write_page(grid, "Demo")
    links = Links(page.read_text()).local
    assert links
    for target in links:
        assert (grid / unquote(target)).is_file(), target
    linked = {unquote(target) for target in links}
    for file in [*grid.rglob("*_*.html"), *grid.rglob("*.png")]:
        assert file.relative_to(grid).as_posix() in linked


@pytest.mark.parametrize("name, figures", (OF_DATASET | OF_RUN | OF_PAIR).items())
def test_key_figures_are_drawn_by_their_notebook(name, figures):
    notebook = (ROOT / "notebooks" / f"{name}.ipynb").read_text()
    for figure in figures:
        assert f'\\"{figure.removesuffix("*")}' in notebook


def test_section_has_the_question_of_its_notebook_as_its_title(grid):
    cells = [{"cell_type": "markdown", "source": ["# Does it <learn>?\n", "More."]}]
    for run in ("softmax", "softmax_pcb"):
        executed = grid / "openmoji" / run / "seed0" / "01_train.ipynb"
        executed.write_text(json.dumps({"cells": cells}))
    html = write_page(grid, "Demo").read_text()
    assert "<h3>Does it &lt;learn&gt;?</h3>" in html
    assert html.index(">01_train of softmax/seed0<") < html.index(">01_train of softmax_pcb/seed0<")
    assert "<h3>soft labels</h3>" in html  # no executed notebook: its name


def test_page_needs_no_network(grid):
    html = write_page(grid, "Demo").read_text()
    assert not {"script", "link", "iframe"} & set(Links(html).tags)
    assert "@import" not in html and "url(" not in html


def test_names_are_escaped(grid):
    html = write_page(grid, "A <b>bold</b> & 'quoted' title").read_text()
    assert "<b>" not in html and "&lt;b&gt;bold&lt;/b&gt; &amp;" in html
    assert "<more>" not in html and "my data &amp; &lt;more&gt;/100% new/seed0" in html
    assert "my%20data%20%26%20%3Cmore%3E/100%25%20new/seed0/01_train.html" in html


def test_page_has_the_parameters_and_files_of_each_run(grid):
    run = RunFolder(grid / "openmoji/softmax/seed0")
    given = {
        "01_train": {"seed": 3, "cfg_options": {"a.b": "<i>"}, "work_dir": "/x", "replace": True},
        "02_evaluate": {"score_threshold": 0.7, "seed": 3},
        "03_confusion_matrix": {"score_threshold": 0.5, "work_dir": "/x"},
    }
    for name, parameters in given.items():
        metadata = {"papermill": {"parameters": parameters}}
        (run.path / f"{name}.ipynb").write_text(json.dumps({"cells": [], "metadata": metadata}))
    run.write_table("confused_pairs", [{"true": "cat"}])
    (run.figures / "loss.pdf").touch()
    html = write_page(grid, "Demo").read_text()
    expected = "seed = 3; cfg_options = {&#34;a.b&#34;: &#34;&lt;i&gt;&#34;}; "
    expected += "score_threshold = 0.7 (02_evaluate); score_threshold = 0.5 (03_confusion_matrix)"
    assert f"<td>{expected}</td>" in html
    assert 'href="openmoji/softmax/seed0/confused_pairs.csv"' in html
    assert 'href="openmoji/softmax/seed0/figures/loss.pdf">PDF</a>' in html


def test_figures_of_a_single_run_share_a_row(grid):
    figures = grid / "openmoji" / "softmax_pcb" / "seed0" / "figures"
    figures.with_name("06_changes.html").touch()
    for name in ("confusion_difference", "changed_pairs"):
        (figures / f"{name}.png").write_bytes(PNG)
    (grid / "openmoji" / "softmax" / "seed0" / "figures" / "strength.png").write_bytes(PNG)
    html = write_page(grid, "Demo").read_text()
    rows = [row.split("</div>")[0] for row in html.split('<div class="figures">')[1:]]
    assert [row.count("<figure>") for row in rows] == [1, 1, 2, 1, 2]
    assert "confusion difference" in rows[-1] and "changed pairs" in rows[-1]


def test_difference_is_from_the_plain_run_of_the_same_seed(grid):
    make_run(grid, "openmoji/softmax_pcb/seed1", AP=0.5)
    table = table_of(grid).splitlines()
    assert table[0].split() == ["AP", "APr", "APc", "APf", "AP50", "APb"]
    rows = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in table[1:])
    assert rows["openmoji/softmax/seed0"].split() == ["30.0", "12.5", "30.0", "n/a", "n/a", "20.0"]
    difference = rows["difference over 1 seed"]  # seed 1 has no plain run
    assert difference.split() == ["+1.0", "-2.5", "n/a", "n/a", "n/a", "0.0"]
    assert rows["openmoji/softmax_pcb, 2 seeds"].startswith("40.5 ± 13.4  10.0 (n = 1)")
    assert "95% interval" not in rows


def test_seeds_have_one_row_and_each_of_them_is_folded(tmp_path):
    for seed, plain, pcb in ((0, 0.30, 0.31), (1, 0.32, 0.35), (2, 0.31, 0.33)):
        make_run(tmp_path, f"lvis_v1/rfs/seed{seed}", AP=plain)
        make_run(tmp_path, f"lvis_v1/rfs_pcb/seed{seed}", AP=pcb)
    rows = [re.split(r"  +", line.strip()) for line in table_of(tmp_path).splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        ["lvis_v1/rfs, 3 seeds", "31.0 ± 1.0"],
        ["lvis_v1/rfs_pcb, 3 seeds", "33.0 ± 2.0"],
        ["published", "26.5"],
        ["difference over 3 seeds", "+2.0"],  # 1, 3 and 2 points: std 1
        ["95% interval", "[-0.5, +4.5]"],  # 2 -+ 4.303 / sqrt(3)
    ]
    assert rows[2][1:] == ["26.5", "18.5", "26.5", "30.2", "n/a", "28.3"]
    html = write_page(tmp_path, "Demo").read_text()
    table, folded = html.split("<details>")[0], html.split("<details>")[1].split("</details>")[0]
    assert "rfs_pcb, 3 seeds" in table and "rfs_pcb/seed1</td>" not in table
    assert "<td>lvis_v1/rfs_pcb/seed1</td><td>35.0</td>" in folded and "published" not in folded
    assert folded.count("<td>difference</td>") == 3 and "randomness of training" in table


def test_one_seed_has_no_deviation_and_no_fold(grid):
    html = write_page(grid, "Demo").read_text()
    assert "±" not in html and "<details>" not in html and "partly due to chance" in html


def finding_of(root: Path) -> str:
    """The sentence below the title."""
    html = write_page(root, "Demo").read_text()
    found = re.search(r'</h1>\n<p class="finding">(.*?)</p>', html)
    return found[1] if found else ""


def make_pair(root: Path, config: str, plain: list[float], pcb: list[float], name="APr") -> None:
    for suffix, values in (("", plain), ("_pcb", pcb)):
        for seed, value in enumerate(values):
            make_run(root, f"openmoji/{config}{suffix}/seed{seed}", **{name: value})


@pytest.mark.parametrize(
    "plain, pcb, sentence",
    [
        (
            [0.032],
            [0.075],
            "PCB raised mask APr of softmax by 4.3 percentage points "
            "(one seed, no confidence interval).",
        ),
        (
            [0.075],
            [0.032],
            "PCB lowered mask APr of softmax by 4.3 percentage points "
            "(one seed, no confidence interval).",
        ),
        (
            [0.032],
            [0.0321],
            "PCB did not change mask APr of softmax (one seed, no confidence interval).",
        ),
        (
            [0.30, 0.32, 0.31],
            [0.34, 0.37, 0.355],  # 4, 5 and 4.5 points: 4.5 -+ 4.303 * 0.5 / sqrt(3)
            "PCB raised mask APr of softmax by 4.5 percentage points "
            "(95% confidence interval [+3.3, +5.7] over 3 seeds).",
        ),
        (
            [0.30, 0.32, 0.31],
            [0.31, 0.35, 0.33],
            "PCB has no clear effect on mask APr of softmax: +2.0 percentage points "
            "(95% confidence interval [-0.5, +4.5] over 3 seeds).",
        ),
    ],
)
def test_page_begins_with_the_finding(tmp_path, plain, pcb, sentence, capsys):
    make_pair(tmp_path, "softmax", plain, pcb)
    assert finding_of(tmp_path) == sentence
    main(["grid", "report", str(tmp_path)])
    assert sentence in capsys.readouterr().out


def test_finding_over_several_baselines_is_one_sentence(tmp_path):
    make_pair(tmp_path, "softmax", [0.03], [0.07])
    make_pair(tmp_path, "rfs", [0.03], [0.05])
    make_pair(tmp_path, "seesaw", [0.03], [0.02])
    assert finding_of(tmp_path) == (
        "PCB raised mask APr of rfs (+2.0) and softmax (+4.0) and lowered mask APr of seesaw "
        "(-1.0) (in percentage points; one seed each, no confidence interval)."
    )
    make_pair(tmp_path, "softmax", [0.03, 0.04, 0.05], [0.07, 0.08, 0.09])
    assert finding_of(tmp_path).endswith(
        "(in percentage points, with 95% confidence intervals over 1 to 3 seeds)."
    )


def test_finding_is_about_all_classes_if_none_is_rare(tmp_path):
    make_pair(tmp_path, "softmax", [0.2], [0.21], name="AP")
    assert finding_of(tmp_path).startswith("PCB raised mask AP of softmax by 1.0 percentage points")


@pytest.mark.parametrize(
    "other",
    ["optimizer = dict(lr=0.5)", "model = dict(roi_head=dict(bbox_head=dict(num_classes=9)))"],
)
def test_nothing_is_found_where_more_than_pcb_differs(tmp_path, other):
    make_pair(tmp_path, "softmax", [0.2], [0.21])
    (tmp_path / "openmoji/softmax_pcb/seed0/config.py").write_text(f"{other}\n")
    assert finding_of(tmp_path) == ""
    make_pair(tmp_path, "rfs", [0.2], [0.25])
    assert finding_of(tmp_path) == (
        "PCB raised mask APr of rfs by 5.0 percentage points (one seed, no confidence interval) "
        "(1 other config cannot be compared)."
    )


def test_nothing_is_found_without_a_pair(tmp_path):
    make_run(tmp_path, "openmoji/softmax/seed0", APr=0.1)
    make_run(tmp_path, "openmoji/rfs_pcb/seed0", APr=0.2)
    assert finding_of(tmp_path) == ""


def test_table_of_one_seed_has_no_deviations_and_intervals(tmp_path):
    make_pair(tmp_path, "softmax", [0.2], [0.21])
    html = write_page(tmp_path, "Demo").read_text()
    table = html.partition("<table>")[2].partition("</table>")[0]
    assert "±" not in html and "95%" not in html
    assert table.count("<tr") == 4  # head, two configs, the difference


@pytest.mark.slow
def test_page_and_terminal_show_hostile_text(grid, capsys):
    run = grid / "openmoji" / "softmax" / "seed0"
    error = "KeyError: '\x1b[2J\ud800" + "x" * 20_000_000 + "'"
    (run / "02_evaluate.failed.json").write_text(json.dumps({"cell": 1, "error": error}))
    metadata = {"papermill": {"parameters": {"classes": ["y" * 20_000_000]}}}
    (run / "01_train.ipynb").write_text(json.dumps({"cells": [], "metadata": metadata}))
    page = write_page(grid, "A \ud800 title")
    assert page.stat().st_size < 100_000
    assert main(["grid", "report", str(grid)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "KeyError: '\\x1b[2J\\ud800xx" in out and len(out) < 10_000


def test_page_has_no_colour_of_a_frequency_group(grid):
    from pcb.plots import GROUP_COLORS

    style = ROOT / "pcb" / "notebooks" / "templates" / "folded" / "static" / "page.css"
    for text in (write_page(grid, "Demo").read_text(), style.read_text()):
        colors = [color.lower() for color in re.findall(r"#[0-9a-fA-F]{6}", text)]
        assert colors and not {color.lower() for color in GROUP_COLORS.values()} & set(colors)


def test_pcb_may_be_in_the_middle_of_a_name(tmp_path):
    for config, ap in (("seesaw_pcb_r101", 0.287), ("seesaw_r101", 0.28)):
        make_run(tmp_path, f"lvis_v1/{config}/seed0", AP=ap)
    differences = [row for row in table_of(tmp_path).splitlines() if "difference" in row]
    assert [row.split()[1] for row in differences] == ["+0.7"]


def test_half_finished_grid_still_has_a_page(tmp_path):
    RunFolder(tmp_path / "openmoji/softmax/seed0").create().config_file.touch()
    page = write_page(tmp_path, "Demo")
    assert Links(page.read_text()).local == ["openmoji/softmax/seed0/config.py"]
    assert table_of(tmp_path).split() == ["AP", "APr", "APc", "APf", "AP50", "APb"]


def test_failures_come_first_and_are_escaped(grid, capsys):
    run = grid / "my data & <more>" / "100% new" / "seed0"
    (run / "01_train.html").unlink()
    error = "RuntimeError: training ended:\n  line 20\nValueError: <script>no & why</script>\n"
    (run / "01_train.failed.json").write_text(json.dumps({"cell": 4, "error": error}))
    (run / "01_train.failed.html").touch()
    (run / "01_train.ipynb").write_text('{"cells": [')  # killed while it was written
    (grid / "openmoji" / "data.failed.json").write_text('{"cell": null, "error": "OSError: full"}')
    (run / "figures" / "strength.png").write_bytes(PNG)  # of an earlier training

    page = write_page(grid, "Demo")
    html = page.read_text()
    assert "<script>" not in html
    shown = "RuntimeError: training ended: ... ValueError: &lt;script&gt;no &amp; why"
    assert html.index("2 notebooks did not finish") < html.index(shown) < html.index("<table><")
    assert "<td>openmoji</td><td>data</td><td></td><td>OSError: full</td>" in html
    links = [unquote(target) for target in Links(html).local]
    assert "my data & <more>/100% new/seed0/01_train.failed.html" in links
    assert all((grid / target).is_file() for target in links)
    assert "strength.png" not in html

    assert main(["grid", "report", str(grid)]) == 0
    *_, first, where, second, folder = capsys.readouterr().out.splitlines()
    assert first.startswith("  my data & <more>/100% new/seed0/01_train, cell 4: RuntimeError: tr")
    assert where.strip() == str(run / "01_train.failed.html")
    assert second == "  openmoji/data: OSError: full" and folder.strip() == str(grid / "openmoji")


def test_command_prints_table_and_page(grid, capsys):
    assert main(["grid", "report", str(grid)]) == 0
    out = capsys.readouterr().out
    assert "difference" in out and str(grid / "index.html") in out


def test_table_of_a_detector_without_masks_shows_box_ap(tmp_path):
    for name, ap in (("softmax", 0.25), ("softmax_pcb", 0.5)):
        run = make_run(tmp_path, f"parts/{name}/seed0")
        run.write_metrics({"bbox": {"AP": ap, "APr": 0.125, "AP50": 0.75}})
    rows = read_results(tmp_path).rows
    table = text_table(rows).splitlines()
    assert table[1].split() == [
        "parts/softmax/seed0,",
        "boxes",
        *["25.0", "12.5", "n/a", "n/a", "75.0", "25.0"],
    ]
    assert table[3].split()[:2] == ["difference", "+25.0"]
    assert "Rows with the word boxes show box AP" in legend(rows)
