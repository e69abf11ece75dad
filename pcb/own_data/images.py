"""Find and check the image files that an annotation file names."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote

from pcb.datasets.headers import check_images
from pcb.datasets.lvis.images import first_names, path_ends

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts this before the names of uploads


class ImageFolder:
    """An image folder in which images are found even if their stated paths are slightly wrong.

    Args:
        folder: The folder; subfolders are searched, too.

    Attributes:
        folder: The folder.
        notes: What was assumed to find images and turns of images, with counts.
        faults: Which images were not found or are wrong, as text.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._files = {
            Path(root, name).relative_to(self.folder).as_posix()
            for root, _, names in os.walk(self.folder, followlinks=True)
            for name in names
        }
        self._by_path, self._by_name = defaultdict(list), defaultdict(list)
        for file in self._files:
            self._by_path[spelling_key(file)].append(file)
            self._by_name[spelling_key(file.rpartition("/")[2])].append(file)
        self._assumed: Counter[tuple[str, str]] = Counter()
        self._turned: list[str] = []
        self.faults: list[str] = []

    def find(self, path: str, images: Sequence[dict]) -> list[str]:
        """Return the paths of the images that exist, relative to the folder.

        Images that do not exist, are damaged or have another size are added to ``faults``.

        Args:
            path: The annotation file, for messages.
            images: The image records of the file.
        """
        found, sizes, missing, ambiguous = [], [], [], []
        for image in images:
            name = (image.get("file_name") or image.get("coco_url") or "").replace("\\", "/")
            choices, assumption = self._choices(name)
            if len(choices) == 1:
                found.append(choices[0])
                sizes.append((image["width"], image["height"]))
                if assumption:
                    self._assumed[f"{path}: {assumption}", f"{len(images):,} images"] += 1
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
        self._check(path, found, sizes)
        return found

    @property
    def notes(self) -> list[str]:
        """What was assumed to find images and turns of images, with counts."""
        assumed = [f"{text}: {n:,} of {total}" for (text, total), n in self._assumed.items()]
        return assumed + self._turned

    def _check(self, path: str, names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
        """Compare the headers of images with the annotations."""
        found = check_images(names, sizes, self.folder, most=None)
        self.faults += [f"{path}: {fault}" for fault in found.size_faults]
        if found.damaged:
            self.faults.append(
                f"{path}: {len(found.damaged):,} of {found.of_images} are damaged"
                f" ({first_names(found.damaged)}): copy or download them again"
            )
        if found.turn_warning:
            self._turned.append(f"{path}: {found.turn_warning}")

    def _choices(self, name: str) -> tuple[list[str], str]:
        """Return the files that a stated path may mean, and what that assumes."""
        stated = name.removeprefix("./")
        if stated in self._files:
            return [stated], ""
        if choices := self._by_path.get(spelling_key(stated)):
            return choices, "file names differ from the files only in case or Unicode form"
        last = stated.rpartition("/")[2]
        elsewhere = "images are found in other folders than stated"
        for end in path_ends(stated):
            if end in self._files:
                return [end], elsewhere
        if choices := self._by_name.get(spelling_key(last)):
            return choices, elsewhere
        for shorter, assumption in (
            (_decoded(stated), "addresses are decoded"),  # Label Studio and web links
            (_UPLOADED.sub("", last), "images are found without the prefix of an upload"),
            # LVIS v0.5 writes such names for files without the prefix.
            (re.sub(r"^COCO_[a-z0-9]+_", "", last), "images are found without 'COCO_...'"),
        ):
            if shorter not in (stated, last) and (choices := self._choices(shorter)[0]):
                return choices, assumption
        return [], ""


def spelling_key(path: str) -> str:
    """Return what two spellings of a path have in common; macOS decomposes accented letters.

    Example:
        >>> spelling_key("./Part/A.PNG") == spelling_key("part/a.png")
        True
    """
    return unicodedata.normalize("NFC", path.removeprefix("./")).lower()


def _decoded(address: str) -> str:
    """Return the path in an address such as ``local-files/?d=a%20b.png`` or ``a.png?width=9``."""
    path, _, query = address.partition("?")
    return parse_qs(query).get("d", [unquote(path)])[0]
