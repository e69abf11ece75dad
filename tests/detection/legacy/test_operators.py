"""torchvision's operators in mmcv's interface, compared with plain PyTorch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmcv.ops import RoIAlign, nms, roi_pool

from pcb.detection.legacy.operators import operators_in_use

ROOT = Path(__file__).resolve().parents[3]


def plain_nms(boxes, scores, threshold, offset):
    kept, order = [], scores.argsort(descending=True).tolist()
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [i for i in order if iou(boxes[best], boxes[i], offset) <= threshold]
    return kept


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)]
    return width * height / (sum(areas) - width * height)


def plain_roi_align(features, roi, size, scale, samples, aligned):
    """Average of bilinear samples, bin by bin, for one RoI."""
    index, x1, y1, x2, y2 = roi.tolist()
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (v * scale - shift for v in (x1, y1, x2, y2))
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    plane = features[int(index)]
    output = torch.zeros(plane.shape[0], size, size, dtype=features.dtype)
    for row in range(size):
        for column in range(size):
            points = [
                (
                    y1 + (row + (i + 0.5) / samples) * height / size,
                    x1 + (column + (j + 0.5) / samples) * width / size,
                )
                for i in range(samples)
                for j in range(samples)
            ]
            values = [bilinear(plane, y, x) for y, x in points]
            output[:, row, column] = torch.stack(values).mean(0)
    return output


def bilinear(plane, y, x):
    _, height, width = plane.shape
    if not (-1.0 <= y <= height and -1.0 <= x <= width):
        return plane.new_zeros(plane.shape[0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return (
        plane[:, top, left] * (1 - down) * (1 - across)
        + plane[:, top, right] * (1 - down) * across
        + plane[:, bottom, left] * down * (1 - across)
        + plane[:, bottom, right] * down * across
    )


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_nms_agrees_with_plain_pytorch(offset, threshold):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=generator) * 40
    boxes = torch.cat([corner, corner + 5 + 20 * torch.rand(60, 2, generator=generator)], dim=1)
    scores = torch.rand(60, generator=generator)
    detections, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores, threshold, offset)
    torch.testing.assert_close(detections[:, 4], scores[kept])


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_agrees_with_plain_pytorch(aligned):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, 10, 12, generator=generator, dtype=torch.float64)
    rois = torch.tensor([[0, 3.0, 5, 30, 33], [1, -6, 0, 20, 50], [1, 8, 8, 8.5, 9]]).double()
    layer = RoIAlign(4, spatial_scale=0.25, sampling_ratio=2, aligned=aligned)
    plain = torch.stack([plain_roi_align(features, r, 4, 0.25, 2, aligned) for r in rois])
    torch.testing.assert_close(layer(features, rois), plain)


def test_roi_align_gradient():
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(1, 2, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 2, 17, 15], [0, -3, 4, 12, 30]]).double()
    layer = RoIAlign(2, spatial_scale=0.25, sampling_ratio=2)
    assert torch.autograd.gradcheck(lambda x: layer(x, rois), features)


def test_no_rois_give_empty_features_and_zero_gradient():
    features = torch.rand(1, 2, 5, 5, requires_grad=True)
    pooled = RoIAlign(2, spatial_scale=1.0)(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 2, 2, 2)
    pooled.sum().backward()
    assert (features.grad == 0).all()


@pytest.mark.skipif(operators_in_use() != "torchvision", reason="mmcv-full is compiled here")
def test_other_operators_tell_how_to_compile_them():
    with pytest.raises(NotImplementedError, match=r"roi_pool_forward.*make setup OPS=1"):
        roi_pool(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 3, 3]]), 2)
    with pytest.raises(NotImplementedError, match=r"max pooling.*make setup OPS=1"):
        RoIAlign(2, pool_mode="max")(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 3, 3]]))


def test_environment_report_of_mmdet_works():
    from mmdet.utils import collect_env

    assert "MMCV" in collect_env()
    assert "mmcv._ext" in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize("is_repaired", [True, False])
def test_cache_that_another_process_still_writes_is_waited_for(tmp_path, is_repaired):
    """In a new environment, two processes may import mmcv, and so yapf, for the first time."""
    code = "import mmcv"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)
    caches = list(tmp_path.rglob("*.pickle"))
    assert caches
    whole = caches[0].read_bytes()
    caches[0].write_bytes(whole[:100])
    repair = f"open({str(caches[0])!r}, 'wb').write({whole!r})" if is_repaired else "None"
    (tmp_path / "import.py").write_text(
        f"import time\ntime.sleep = lambda _: {repair}\nimport pcb.detection\nprint('imported')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "import.py")],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if is_repaired:
        assert done.stdout.endswith("imported\n"), done.stderr
    else:
        assert "yapf's cache is damaged: delete the folder YAPF" in done.stderr
