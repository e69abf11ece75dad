"""Find the image files that an annotation file names."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from pcb.datasets.lvis.images import first_names


class ImageFolder:
    """An image folder in which images are found even if their stated paths are slightly wrong.

    Args:
        folder: The folder; subfolders are searched, too.

    Attributes:
        folder: The folder.
        notes: What was assumed to find images, with counts.
        faults: Which images were not found, as text.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._files = {
            Path(root, name).relative_to(self.folder).as_posix()
            for root, _, names in os.walk(self.folder, followlinks=True)
            for name in names
        }
        self._by_lower, self._by_name = defaultdict(list), defaultdict(list)
        for file in self._files:
            self._by_lower[file.lower()].append(file)
            self._by_name[file.rpartition("/")[2].lower()].append(file)
        self._assumed: Counter[str] = Counter()
        self.faults: list[str] = []

    def find(self, path: str, images: Iterable[dict]) -> list[str]:
        """Return the path of each image, relative to the folder.

        Images that do not exist are added to ``faults``.

        Args:
            path: The annotation file, for messages.
            images: The image records of the file.
        """
        found, missing, ambiguous = [], [], []
        images = list(images)
        for image in images:
            name = (image.get("file_name") or image.get("coco_url") or "").replace("\\", "/")
            choices, assumption = self._choices(name)
            if len(choices) == 1:
                found.append(choices[0])
                self._assumed[assumption] += bool(assumption)
            elif choices:
                ambiguous.append(f"{name} may be {' or '.join(sorted(choices)[:2])}")
            else:
                missing.append(name)
        total = f"of {len(images):,} images"
        if repeated := [name for name, count in Counter(found).items() if count > 1]:
            self.faults.append(
                f"{path}: several images are the same file in {self.folder}"
                f" ({first_names(repeated)}): correct their file names"
            )
        if missing:
            self.faults.append(
                f"{path}: the folder {self.folder} lacks {len(missing):,} {total}"
                f" ({first_names(missing)}): choose the folder that contains all images (--images)"
            )
        if ambiguous:
            self.faults.append(
                f"{path}: several files could be meant for {len(ambiguous):,} {total}"
                f" ({first_names(ambiguous)}): write the paths relative to {self.folder}"
            )
        return found

    @property
    def notes(self) -> list[str]:
        """What was assumed to find images, with counts."""
        return [
            f"{self.folder}: {text}: {count:,} images"
            for text, count in self._assumed.items()
            if count
        ]

    def _choices(self, name: str) -> tuple[list[str], str]:
        """Return the files that a stated path may mean, and what that assumes."""
        stated = name.removeprefix("./")
        if stated in self._files:
            return [stated], ""
        if choices := self._by_lower.get(stated.lower()):
            return choices, "file names differ from the files only in upper and lower case"
        last = stated.rpartition("/")[2]
        if choices := self._by_name.get(last.lower()):
            return choices, "images are found by their names in other folders than stated"
        if stated.startswith("COCO_"):  # LVIS v0.5 writes such names for files without the prefix
            short = stated.rpartition("_")[2]
            return self._by_name.get(short.lower(), []), "images are found without 'COCO_...'"
        return [], ""
