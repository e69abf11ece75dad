"""Find image files in folders."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Endings of the formats that OpenCV may read.
_ENDINGS = {
    *(".avif", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pfm", ".pgm", ".pic", ".png", ".pnm", ".ppm", ".pxm", ".ras", ".sr", ".tif", ".tiff"),
    ".webp",
}


@dataclass(frozen=True)
class ImageFiles:
    """Image files below one folder.

    Attributes:
        folder: The deepest folder that contains all files.
        names: Paths of the files relative to ``folder``, with ``/`` between their parts.
        notes: Messages about files that were left out.
    """

    folder: Path
    names: list[str]
    notes: list[str]


def find_images(
    paths: Sequence[str | os.PathLike[str]], leave_out: str | os.PathLike[str] | None = None
) -> ImageFiles:
    """List image files, and the image files in folders and in their subfolders.

    In folders, files count as images if their names end as those of image formats do. Links are
    followed. A file that is found twice is listed once.

    Args:
        paths: Files and folders. A file may have any name.
        leave_out: A folder that is not searched, such as the output folder.

    Raises:
        FileNotFoundError: Some paths do not exist. The message names all of them.
        ValueError: There are no paths, or a folder contains no image.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.jpg", "a.png", "notes.txt"):
        ...     folder.joinpath(name).touch()
        >>> found = find_images([folder])
        >>> found.names, found.notes
        (['a.png', 'b.jpg'], ['1 file in folders is not an image: .txt (1)'])
    """
    if not paths:
        raise ValueError("there are no images: name at least one image file or folder")
    given = [Path(os.path.abspath(path)) for path in paths]
    if missing := [str(path) for path in given if not path.exists()]:
        raise FileNotFoundError(
            f"{len(missing)} of {len(given)} paths do not exist: {', '.join(missing)}; correct the "
            "paths"
        )
    skipped = None if leave_out is None else os.path.realpath(leave_out)
    files: list[Path] = []
    others: Counter[str] = Counter()
    inside_skipped = 0
    for path in given:
        if path.is_file():
            files.append(path)
            continue
        images = 0
        for file in _files_in(path):
            is_image = file.suffix.lower() in _ENDINGS
            if skipped and Path(os.path.realpath(file)).is_relative_to(skipped):
                inside_skipped += is_image
            elif not is_image:
                others[file.suffix.lower() or "no ending"] += 1
            else:
                files.append(file)
                images += 1
        if not images:
            outside = f" outside the output folder {leave_out}" if inside_skipped else ""
            raise ValueError(f"{path} contains no image{outside}: choose another folder")
    unique = sorted(set(files))
    notes = []
    if inside_skipped:
        notes.append(f"images in the output folder {leave_out} are left out: {inside_skipped:,}")
    if count := sum(others.values()):
        endings = ", ".join(f"{ending} ({number:,})" for ending, number in others.most_common(5))
        what = "file in folders is not an image" if count == 1 else "files in folders are no images"
        notes.append(f"{count:,} {what}: {endings}{', ...' if len(others) > 5 else ''}")
    if repeated := len(files) - len(unique):
        notes.append(f"images that were named more than once count once: {repeated:,}")
    roots = [path if path.is_dir() else path.parent for path in given]
    folder = Path(os.path.commonpath(roots))
    return ImageFiles(folder, [file.relative_to(folder).as_posix() for file in unique], notes)


def _files_in(folder: Path) -> Iterable[Path]:
    """Yield the files in a folder and in its subfolders; visit each linked folder only once."""
    visited = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        real = os.path.realpath(here)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(here, name) for name in sorted(names))
