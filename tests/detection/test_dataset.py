"""LVIS-format annotations as a dataset of mmdet: equal to the records, and kept in arrays."""

import gc
import json
import pickle

import numpy as np
import pytest
from mmdet.datasets import build_dataset
from PIL import Image
from pycocotools import mask as run_length

from pcb.datasets import AnnotationError, read_annotations
from pcb.detection import LVISFormatDataset

WIDTH, HEIGHT = 60, 40
SQUARE = [[1, 2, 11, 2, 11.5, 22, 1, 22]]
URL = "http://images.cocodataset.org"
PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
]


def run_lengths() -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[5:20, 10:30] = 1
    encoded = run_length.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def instance(image_id: int, category_id: int, segmentation=None, **changes) -> dict:
    annotation = {"image_id": image_id, "category_id": category_id, "bbox": [1.1, 2, 10.37, 20]}
    return {**annotation, "area": 210.5, "segmentation": segmentation or SQUARE, **changes}


def content(names: list[str], key: str, instances: list[dict]) -> dict:
    """Annotations of images with the ids 10, 20, ... and of categories with gaps in their ids."""
    image = {"width": WIDTH, "height": HEIGHT}
    image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    category = {"frequency": "r", "image_count": 1, "instance_count": 1}
    return {
        "annotations": [{"id": i, **record} for i, record in enumerate(instances, start=1)],
        "images": [{"id": 10 * i, key: name, **image} for i, name in enumerate(names, start=1)],
        "categories": [{"id": i, "name": f"class {i}", **category} for i in (900, 3, 41)],
    }


@pytest.fixture
def write(tmp_path):
    """Function that writes annotations and returns the path."""

    def write(data: dict) -> str:
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(data))
        return str(path)

    return write


@pytest.fixture(params=[2, 7], ids=["hundredths", "more decimals"])
def ann_file(request, write):
    """Every kind of mask and image; the instances of an image are not consecutive."""
    decimals = request.param
    triangle = [round(x / 7, decimals) for x in (10, 20, 300, 20, 310, 250)]
    instances = [
        instance(30, 41, [*SQUARE, triangle]),
        instance(10, 900, run_lengths()),
        instance(10, 3, {"size": [HEIGHT, WIDTH], "counts": [50, 100, HEIGHT * WIDTH - 150]}),
        instance(30, 3, bbox=[5, 5, 0.99, 20]),  # narrower than a pixel
        instance(40, 41, area=0),
        instance(30, 900, [triangle], bbox=[5, 5, 1, 1.5]),
        instance(10, 41, [triangle, triangle, *SQUARE]),
        instance(50, 3),
    ]
    return write(content([f"{i}.png" for i in range(1, 6)], "file_name", instances))


def expected(annotations, image: dict) -> dict:
    """What mmdet should receive for an image, computed from the records."""
    records = [
        record
        for record in annotations.annotations
        if record["image_id"] == image["id"] and min(record["bbox"][2:]) >= 1 and record["area"] > 0
    ]
    boxes = np.array([record["bbox"] for record in records], np.float32).reshape(-1, 4)
    return {
        "bboxes": np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        "labels": np.array([annotations.label_of[r["category_id"]] for r in records], np.int64),
        "bboxes_ignore": np.zeros((0, 4), np.float32),
        "masks": [record["segmentation"] for record in records],
    }


def assert_same_info(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for key in ("bboxes", "labels", "bboxes_ignore"):
        assert found[key].dtype == wanted[key].dtype and found[key].shape == wanted[key].shape
        np.testing.assert_array_equal(found[key], wanted[key])
    assert found["masks"] == wanted["masks"]  # exactly


@pytest.mark.parametrize("options", [{"filter_empty_gt": False}, {"test_mode": True}])
def test_every_image_equals_its_records(ann_file, options):
    annotations = read_annotations(ann_file)
    dataset = LVISFormatDataset(ann_file=ann_file, pipeline=[], img_prefix=None, **options)
    assert len(dataset) == len(dataset.data_infos) == 5
    assert dataset.CLASSES == ("class 3", "class 41", "class 900")
    assert dataset.category_ids == [3, 41, 900]
    for index, image in enumerate(annotations.images):
        wanted = expected(annotations, image)
        assert_same_info(dataset.get_ann_info(index), wanted)
        assert dataset.get_cat_ids(index) == wanted["labels"].tolist()
        assert dataset.data_infos[index] == {
            "id": image["id"],
            "filename": image["file_name"],
            "width": WIDTH,
            "height": HEIGHT,
        }
    np.testing.assert_array_equal(dataset.instance_count(), [2, 2, 2])


def test_images_without_instances_are_skipped_in_training(ann_file):
    annotations = read_annotations(ann_file)
    dataset = LVISFormatDataset(ann_file=ann_file, pipeline=[], img_prefix=None)
    assert [image["id"] for image in dataset.data_infos] == [10, 30, 50]
    assert [image["id"] for image in dataset.data_infos[1:]] == [30, 50]
    assert len(dataset.flag) == 3
    for index, image in enumerate(dataset.data_infos):
        wanted = expected(annotations, annotations.image_of[image["id"]])
        assert_same_info(dataset.get_ann_info(index), wanted)


def test_returned_arrays_can_be_changed(ann_file):
    dataset = LVISFormatDataset(ann_file=ann_file, pipeline=[], img_prefix=None)
    changed = dataset.get_ann_info(0)
    changed["bboxes"] += 1
    changed["labels"] += 1
    wanted = expected(read_annotations(ann_file), dataset.data_infos[0])
    assert_same_info(dataset.get_ann_info(0), wanted)


def test_workers_can_share_the_data(write):
    """Only arrays grow with the data, and forked workers read them without copying."""

    def held(size: int) -> tuple[int, int]:
        """Python objects reachable from a dataset, and the bytes of its arrays."""
        names = [f"{i}.png" for i in range(size)]
        instances = [instance(10 * i, 3) for i in range(1, size + 1) for _ in range(4)]
        path = write(content(names, "file_name", instances))
        dataset = LVISFormatDataset(ann_file=path, pipeline=[], img_prefix=None)
        seen: dict[int, object] = {}
        waiting = [vars(dataset)]
        while waiting:
            value = waiting.pop()
            if id(value) not in seen and not isinstance(value, type):
                seen[id(value)] = value
                if not isinstance(value, np.ndarray):
                    waiting += gc.get_referents(value)
        return len(seen), sum(v.nbytes for v in seen.values() if isinstance(v, np.ndarray))

    (few_objects, few_bytes), (many_objects, many_bytes) = held(10), held(200)
    assert few_objects == many_objects
    assert many_bytes > 10 * few_bytes


def test_spawned_workers_get_the_same(ann_file):
    dataset = LVISFormatDataset(ann_file=ann_file, pipeline=[], img_prefix=None)
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    for index in range(len(dataset)):
        assert_same_info(copy.get_ann_info(index), dataset.get_ann_info(index))


def test_repeat_factor_sampling_repeats_images_of_rare_classes(write):
    instances = [instance(10 * i, 3) for i in range(1, 9)] + [instance(30, 41)]
    ann_file = write(content([f"{i}.png" for i in range(1, 9)], "file_name", instances))
    inner = {"type": "LVISFormatDataset", "ann_file": ann_file, "pipeline": [], "img_prefix": None}
    wrapper = {"type": "ClassBalancedDataset", "oversample_thr": 0.5, "dataset": inner}
    assert build_dataset(wrapper).repeat_indices == [0, 1, 2, 2, 3, 4, 5, 6, 7]


def coco(folder, names: list[str]) -> None:
    """Write a COCO folder with a few more images than an annotation file names."""
    for number, name in enumerate([*names, "train2017/1.jpg", "val2017/1.jpg"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (20 * number, 0, 0)).save(path, quality=100)


@pytest.mark.parametrize(
    "key, names, paths, prefix",
    [
        pytest.param(
            "coco_url",
            [f"{URL}/train2017/000000391895.jpg", f"{URL}/val2017/000000000042.jpg"],
            ["train2017/000000391895.jpg", "val2017/000000000042.jpg"],
            "",
            id="v1",
        ),
        pytest.param(
            "file_name",
            ["COCO_val2014_000000000042.jpg", "COCO_train2014_000000391895.jpg"],
            ["000000000042.jpg", "000000391895.jpg"],
            "train2017",
            id="v0.5",
        ),
    ],
)
def test_images_are_found_in_linked_coco_folders(write, tmp_path, key, names, paths, prefix):
    coco(tmp_path / "coco", [f"{prefix}/{path}".lstrip("/") for path in paths])
    data = tmp_path / "data"
    data.mkdir()
    for folder in ("train2017", "val2017"):
        (data / folder).symlink_to(tmp_path / "coco" / folder)
    ann_file = write(content(names, key, [instance(10, 3), instance(20, 41, run_lengths())]))
    dataset = LVISFormatDataset(ann_file=ann_file, pipeline=PIPELINE, img_prefix=str(data / prefix))
    assert [image["filename"] for image in dataset.data_infos] == paths
    for index, (red, area) in enumerate([(0, 210), (20, 300)]):
        sample = dataset[index]
        assert sample["img"].shape == (HEIGHT, WIDTH, 3)
        assert abs(sample["img"][..., 2].mean() - red) < 3  # BGR
        assert abs(int(sample["gt_masks"].masks[0].sum()) - area) < 15

    (tmp_path / "coco" / prefix / paths[1]).unlink()
    with pytest.raises(AnnotationError, match=rf"lacks 1 of 2 images \({paths[1]}\)\. "):
        LVISFormatDataset(ann_file=ann_file, pipeline=[], img_prefix=str(data / prefix))


def test_plain_coco_trains_as_lvis_does(write, tmp_path, caplog):
    """Training uses neither the classes that an image judges nor the frequency groups."""
    data = content(["1.png", "2.png"], "file_name", [instance(10, 3), instance(20, 900)])
    for name in ("1.png", "2.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    options = {"pipeline": PIPELINE, "img_prefix": str(tmp_path)}
    lvis = LVISFormatDataset(write(data), **options)
    for record in data["images"]:
        del record["neg_category_ids"], record["not_exhaustive_category_ids"]
    data["categories"] = [{"id": c["id"], "name": c["name"]} for c in data["categories"]]
    coco = LVISFormatDataset(write(data), federated=False, **options)
    assert coco.CLASSES == lvis.CLASSES and not caplog.records
    for index in range(2):
        ours, theirs = coco.get_ann_info(index), lvis.get_ann_info(index)
        np.testing.assert_array_equal(ours["bboxes"], theirs["bboxes"])
        np.testing.assert_array_equal(ours["labels"], theirs["labels"])
    with pytest.raises(ValueError, match="federated must be True, False or None, got 'no'"):
        LVISFormatDataset(write(data), federated="no", **options)


def test_training_reports_what_looks_wrong(write, tmp_path, caplog):
    corners = instance(10, 3, bbox=[20, 5, 55, 35], segmentation=[[20, 5, 55, 5, 55, 35]])
    data = content(["1.png"], "file_name", [corners])
    data["categories"][0]["name"] = data["categories"][1]["name"]
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "1.png")
    dataset = LVISFormatDataset(write(data), [], img_prefix=str(tmp_path))
    assert dataset.CLASSES == ("class 3 (1)", "class 41", "class 3 (2)")
    said = [record.getMessage() for record in caplog.records]
    assert "annotations.json: several categories share a name: 'class 3'" in said[0]
    assert "boxes extend beyond their images (1 of 1 boxes) and look like corners" in said[1]
    assert "boxes clipped to their image: 1" in said[2] and len(said) == 3
