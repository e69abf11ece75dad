"""The README and the pages in docs/ refer to what exists, and stay small."""

import json
import re
import subprocess

import pytest

from pcb.grids.grid import read_grid
from pcb.storage.repository import repository_root

ROOT = repository_root()
IN_DOCS = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", *IN_DOCS]
README = (ROOT / "README.md").read_text()
MEGABYTE = 1_000_000


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_targets_of_make_exist():
    text = "".join((ROOT / page).read_text() for page in PAGES)
    known = re.findall(r"^([a-z]+(?: [a-z]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {name for names in known for name in names.split()}
    assert set(re.findall(r"(?:`|^ *)make ([a-z]+)", text, re.MULTILINE)) <= known


def test_readme_lists_the_questions_of_all_notebooks():
    listed = re.findall(r"^\| \[\w+\]\(notebooks/(\w+)\.ipynb\) \| (.+) \|$", README, re.MULTILINE)
    questions = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        first = json.loads(path.read_text())["cells"][0]["source"]
        questions[path.stem] = "".join(first).splitlines()[0].removeprefix("# ")
    assert dict(listed) == questions and len(listed) == len(questions)


def test_example_of_a_grid_is_one(tmp_path):
    [example] = re.findall(r"```yaml\n(.+?)```", (ROOT / "docs/grids.md").read_text(), re.DOTALL)
    (tmp_path / "mine.yaml").write_text(example)
    grid = read_grid(tmp_path / "mine.yaml")
    assert "openmoji/softmax_pcb-half_lr/seed2" in {str(run) for run in grid.runs}


def test_readme_is_short():
    assert len(README.splitlines()) <= 160


def test_every_page_is_in_the_navigation():
    """MkDocs checks that, too, but `make docs` is not among the tests."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [page.removeprefix("docs/") for page in IN_DOCS]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


def test_repository_is_small():
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    sizes = {name: (ROOT / name).stat().st_size for name in files if (ROOT / name).is_file()}
    if not sizes:
        pytest.skip("not a clone: git lists no files")
    assert [name for name, size in sizes.items() if size > MEGABYTE] == []
    assert sum(size for name, size in sizes.items() if name.startswith("docs/")) <= MEGABYTE
    assert sum(sizes.values()) <= 5 * MEGABYTE
