"""MkDocs hooks that make pages from repository files and convert equations.

- README, CONTRIBUTING and CHANGELOG become pages. If a page links to any other file of the
  repository, the file is copied into the site.
- Every package of ``pcb`` gets a page in the API reference.
- Equations become MathML, which browsers show without a script and without a network
  connection.
"""

import ast
import posixpath
import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COPIES = "repository"  # folder of the site for files that pages link to

# Modules in the order of the paper; other modules follow, sorted by name.
METHOD = ("confusion", "soft_labels", "balance", "refinement", "distributed", "stateful")

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(?=[)#\s])")
_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>([,.:;)]?)', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the API reference to the navigation."""
    pages = [{package: _api_page(package)} for package in packages(ROOT / "pcb")]
    config.nav.append({"API": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages to the site, and copy linked repository files into the site."""
    made = {page: (ROOT / source).read_text() for source, page in PAGES.items()}
    made |= {_api_page(package): api_page(package) for package in packages(ROOT / "pcb")}
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    for page in list(files.documentation_pages()):
        if page.src_uri.startswith("api/"):
            continue
        for target in sorted(linked_files(page.content_string, _home(page.src_uri))):
            uri = f"{COPIES}/{target}"
            if files.get_file_from_path(uri) is None:
                copy = File.generated(config, uri, abs_src_path=str(ROOT / target))
                files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change each link to a repository file into a link within the site."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]  # the navigation would list only this page
    if page.file.src_uri.startswith("api/"):
        return markdown
    home = _home(page.file.src_uri)
    return _LINK.sub(lambda link: in_site(link[1], home), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Convert the equations of a page to MathML."""
    return with_mathml(html)


def packages(folder: Path) -> list[str]:
    """Return the dotted names of a package and of all packages inside it, outer packages first.

    Folders without ``__init__.py`` are left out.
    """
    inside = sorted(path.parent for path in folder.rglob("__init__.py"))
    return [".".join(path.relative_to(folder.parent).parts) for path in inside]


def api_page(package: str) -> str:
    """Return the API page of a package as Markdown: docstring, exported names and modules."""
    folder = ROOT / package.replace(".", "/")
    names = {path.stem for path in folder.glob("*.py")}
    names = {name for name in names if not name.startswith("_")}
    first = [name for name in METHOD if name in names and package == "pcb"]
    lines = [f"::: {package}", "    options: { heading_level: 1, members: [] }", ""]
    if exported := exports((folder / "__init__.py").read_text()):
        # The links are optional, because constants have no entry in the reference.
        link = "<autoref identifier='{0}.{1}' optional><code>{1}</code></autoref>"
        lines += [f"Import from `{package}`:", ""]
        lines += [", ".join(link.format(package, name) for name in exported), ""]
    lines += [f"::: {package}.{name}\n" for name in [*first, *sorted(names.difference(first))]]
    return "\n".join(lines)


def exports(source: str) -> list[str]:
    """Return the names in a module's ``__all__``; [] if the module has no ``__all__``.

    >>> exports("__all__ = ['a', 'b']"), exports("")
    (['a', 'b'], [])
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    return []


def linked_files(markdown: str, home: str) -> set[str]:
    """Return the repository files that a Markdown text links to.

    Files that are pages of the site are left out.

    Args:
        markdown: The text.
        home: Folder that contains the text, relative to the repository root; empty for the root.

    Raises:
        PluginError: The target of a link does not exist in the repository.
    """
    found = set()
    for link in _LINK.findall(markdown):
        target = posixpath.normpath(posixpath.join(home, link))
        if not (ROOT / target).exists() or target.startswith(".."):
            raise PluginError(
                f"a page in {home or 'the root folder'} links to {link}, which does not exist in"
                " the repository: correct the link"
            )
        if (ROOT / target).is_file() and target not in PAGES and not target.startswith("docs/"):
            found.add(target)
    return found


def in_site(link: str, home: str) -> str:
    """Convert the path of a repository file to a path within the site.

    Args:
        link: Path of the file, relative to ``home``.
        home: Folder of the page that links to the file, relative to the repository root.

    >>> in_site("docs/grids.md", ""), in_site("../CONTRIBUTING.md", "docs")
    ('grids.md', 'contributing.md')
    >>> in_site("../configs/openmoji/rfs.py", "docs")
    'repository/configs/openmoji/rfs.py'
    """
    target = posixpath.normpath(posixpath.join(home, link))
    if target in PAGES:
        return PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"{COPIES}/{target}"


def with_mathml(html: str) -> str:
    r"""Convert the equations in HTML source to MathML.

    The function recognizes equations by the markup of the Markdown extension ``arithmatex``.

    >>> with_mathml(r'<p><span class="arithmatex">\(x\)</span></p>')  # doctest: +ELLIPSIS
    '<p><math ... display="inline"><mrow><mi>x</mi></mrow></math></p>'
    """

    def mathml(found: re.Match) -> str:
        display = "block" if found[1] == "div" else "inline"
        equation = convert(unescape(found[2]).strip(), display=display)
        if not found[3]:
            return equation
        # Otherwise, a line could begin with the punctuation mark.
        return f'<span style="white-space: nowrap">{equation}{found[3]}</span>'

    return _MATH.sub(mathml, html)


def _api_page(package: str) -> str:
    return f"api/{package}.md"


def _home(page: str) -> str:
    """Return the folder of a page's source file, relative to the repository."""
    return "" if page in PAGES.values() else "docs"
