"""Make the training and the validation file of a dataset agree on their classes."""

from collections import Counter

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.images import first_names
from pcb.messages.nearest import MISSPELLING, nearest_names


def shared_categories(
    train: Annotations, val: Annotations
) -> tuple[list[dict], dict[int, int], list[str], list[str]]:
    """Return the classes of a dataset from the categories of its two files.

    Root categories, which some tools write above all classes, are dropped if nothing is annotated
    with them. If the two files have different ids for the same names, the ids of the training file
    are used.

    Args:
        train: The training annotations.
        val: The validation annotations.

    Returns:
        categories: One dict with ``id`` and ``name`` per class, sorted by id.
        new_id: A dict from each category id of the validation file to an id in ``categories``.
        notes: What was changed, as text.
        faults: Why the files do not agree, as text; empty if they agree.

    Example:
        >>> cat, dog = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}
        >>> swapped = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
        >>> train, val = Annotations("a", [], [], [cat, dog]), Annotations("b", [], [], swapped)
        >>> categories, new_id, notes, faults = shared_categories(train, val)
        >>> new_id, faults
        ({1: 2, 2: 1}, [])
    """
    used = {
        id(data): {r["category_id"] for r in [*data.annotations, *data.crowds]}
        for data in (train, val)
    }
    ours, theirs = (
        [c for c in data.categories if c["id"] in used[id(data)] or not _is_root(c, data)]
        for data in (train, val)
    )
    notes, faults = [], []
    for data, kept in ((train, ours), (val, theirs)):
        if dropped := len(data.categories) - len(kept):
            notes.append(
                f"{data.path}: categories above the classes are dropped: {dropped:,} of"
                f" {len(data.categories):,} categories"
            )
    known = {c["id"]: c["name"] for c in ours}
    names = set(known.values())
    if all(
        known.get(c["id"]) == c["name"] or not {c["id"], c["name"]} & (known.keys() | names)
        for c in theirs
    ):
        new_id = {c["id"]: c["id"] for c in theirs}
    else:
        counts = Counter(c["name"] for c in ours) + Counter(c["name"] for c in theirs)
        if repeated := [name for name, count in counts.items() if count > 2]:
            faults.append(
                f"{train.path} and {val.path} have different ids for the same classes, and several"
                f" classes are called {first_names(repeated)}: use the same ids in both files"
            )
        id_of = {c["name"]: c["id"] for c in ours}
        free = max(known, default=0) + 1
        new_id = {}
        for category in theirs:
            new_id[category["id"]] = id_of.get(category["name"], free)
            free += category["name"] not in id_of
        notes.append(f"{val.path}: category ids are replaced by those of {train.path}, by name")
    unknown = [c for c in theirs if new_id[c["id"]] not in known]
    if lacking := [c["name"] for c in unknown if c["id"] in used[id(val)]]:
        near = {name: nearest_names(name, names, least=MISSPELLING)[:1] for name in lacking}
        shown = [f"{name}; it has {near[name][0]!r}" if near[name] else name for name in lacking]
        faults.append(
            f"{train.path} lacks {len(lacking):,} of the annotated classes of {val.path}"
            f" ({first_names(shown)}): use files with the same classes"
        )
    categories = [{"id": c["id"], "name": c["name"]} for c in ours]
    categories += [{"id": new_id[c["id"]], "name": c["name"]} for c in unknown]
    return sorted(categories, key=lambda c: c["id"]), new_id, notes, faults


def _is_root(category: dict, data: Annotations) -> bool:
    """Return whether a category is a heading: Roboflow's category 0, or a supercategory."""
    above = {c.get("supercategory") for c in data.categories if c["id"] != category["id"]}
    heads_none = category["id"] == 0 and category.get("supercategory") in ("none", None, "")
    return category["name"] in above or (
        heads_none
        and any(c.get("supercategory") not in (None, "", "none") for c in data.categories)
    )
