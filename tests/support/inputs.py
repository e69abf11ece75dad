"""Small annotations and detections with one fault each.

Four images of 60 x 40, three classes, every class annotated in every image. As they are, box AP is
a third; see `RIGHT`.
"""

import copy
from typing import Any

IMAGES = 4
ABSENT = {1: [2, 3], 2: [2, 3], 3: [1, 3], 4: [1, 2]}  # categories by image
SQUARE, ELSEWHERE = [10, 10, 20, 20], [35, 5, 10, 10]
POLYGON = [10, 10, 30, 10, 30, 30, 10, 30]
RIGHT = 1 / 3  # each class: one of its two or three detections of a class is right, scored last


def truth(**of_image: Any) -> dict:
    """LVIS annotations; keyword arguments replace members of every image."""
    objects = [(1, 1), (2, 1), (3, 2), (4, 3)]
    groups = {"fox": "f", "wolf": "r", "dog": "c"}
    return {
        "images": [
            {
                "id": image,
                "file_name": f"{image}.png",
                "width": 60,
                "height": 40,
                "not_exhaustive_category_ids": [],
                "neg_category_ids": ABSENT[image],
                **copy.deepcopy(of_image),
            }
            for image in range(1, IMAGES + 1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": list(SQUARE),
                "area": 400,
                "segmentation": [list(POLYGON)],
            }
            for number, (image, category) in enumerate(objects, start=1)
        ],
        "categories": [
            {"id": i, "name": name, "frequency": group, "image_count": 2, "instance_count": 2}
            for i, (name, group) in enumerate(groups.items(), start=1)
        ],
    }


def plain_coco() -> dict:
    """The same as COCO's tools write it."""
    content = truth()
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    content["categories"] = [{"id": c["id"], "name": c["name"]} for c in content["categories"]]
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    return content


def detections() -> list[dict]:
    """The object of every image, and with a higher score the two classes that it does not show."""
    found = []
    for record in truth()["annotations"]:
        here = {"image_id": record["image_id"]}
        right = {"category_id": record["category_id"], "bbox": list(SQUARE), "score": 0.5}
        found.append(here | right)
        for category in ABSENT[record["image_id"]]:
            wrong = {"category_id": category, "bbox": list(ELSEWHERE), "score": 0.9}
            found.append(here | wrong)
    return found


def as_corners(records: list[dict]) -> list[dict]:
    """The records with boxes as x1, y1, x2, y2."""
    return [
        {**record, "bbox": [x, y, x + width, y + height]}
        for record in records
        for x, y, width, height in (record["bbox"],)
    ]
