"""Compute the paths of the images that an annotation file lists, and find missing images."""

import os
from collections.abc import Iterable, Iterator, Sequence


def image_path(image: dict) -> str:
    """Return the path of an image, relative to the image folder.

    If the image has no file name, as in LVIS v1, the path consists of the last two parts of
    ``coco_url``. Otherwise, the path is the file name without a prefix such as ``COCO_val2014_``.
    Backslashes, which Windows writes, become slashes.

    Example:
        >>> image_path({"file_name": "000012.png"})
        '000012.png'
        >>> image_path({"coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg"})
        'train2017/000000391895.jpg'
        >>> image_path({"file_name": "COCO_val2014_000000000042.jpg"})
        '000000000042.jpg'
    """
    name = (image.get("file_name") or "").replace("\\", "/")
    if not name:
        return "/".join(image["coco_url"].split("/")[-2:])
    return name.rpartition("_")[2] if name.startswith("COCO_") else name


def path_ends(path: str) -> Iterator[str]:
    """Yield a path, and the same path without its first folder, its first two folders, ...

    Example:
        >>> list(path_ends("train/a/1.png"))
        ['train/a/1.png', 'a/1.png', '1.png']
    """
    while path:
        yield path
        path = path.partition("/")[2]


def missing_images(names: Iterable[str], image_dir: str | os.PathLike) -> list[str]:
    """Return the names of the images that are missing from the folder ``image_dir``."""
    # List each folder once: on network storage, 100,000 separate look-ups take minutes.
    listings: dict[str, set[str]] = {}
    missing = []
    for relative in names:
        folder, name = os.path.split(os.path.join(image_dir, relative))
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            missing.append(relative)
    return missing


def similar_file(name: str, folder: str | os.PathLike, most: int = 10_000) -> str | None:
    """Return a file with the same name as a missing image, in another case or another subfolder.

    Args:
        name: Path of the missing image.
        folder: The folder to search.
        most: Maximum number of files to look at.

    Returns:
        The path of the file, relative to ``folder``, or None if there is no such file.
    """
    wanted, looked_at = os.path.basename(name).lower(), 0
    for root, _, files in os.walk(os.fspath(folder)):
        for file in files:
            if file.lower() == wanted:
                return os.path.relpath(os.path.join(root, file), folder)
        looked_at += len(files)
        if looked_at > most:
            break
    return None


def first_names(names: Sequence[str], count: int = 3) -> str:
    """Return at most ``count`` names as text for a message, followed by "..." if there are more.

    Example:
        >>> first_names(["a", "b", "c", "d"])
        'a, b, c, ...'
    """
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
