"""The site of `make docs` as a browser shows it from a disk: no error, no network."""

import os
import subprocess
import sys

import pytest

from pcb.storage.repository import repository_root
from tests.support.browser import needs_browser, open_page

ROOT = repository_root()
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with every link checked."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_have_equations_and_links_but_no_roles(site):
    assert (site / "index.html").read_text().count("<math ") >= 10
    pages = {page.stem: page.read_text() for page in (site / "api").glob("*.html")}
    assert {"pcb", "pcb.losses", "pcb.detection"} <= pages.keys()
    assert 'href="pcb.html#pcb.balance.PairwiseClassBalance"' in pages["pcb.losses"]
    for name, page in pages.items():
        for markup in (":func:", ":class:", ".. math::", 'class="arithmatex"'):
            assert markup not in page, name


def test_linked_files_are_in_the_site(site):
    for name in ("notebooks/00_dataset.ipynb", "configs/lvis_v1/seesaw_pcb.py", "LICENSE"):
        assert (site / "repository" / name).read_bytes() == (ROOT / name).read_bytes()


@needs_browser
@pytest.mark.parametrize("name", ["index.html", "gallery.html", "api/pcb.losses.html"])
def test_page_in_a_browser(site, name):
    opened = open_page(site / name)
    assert opened.errors == [] and opened.remote == [] and opened.broken == []
