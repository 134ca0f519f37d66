"""torchvision without its compiled kernels, which counting never runs.

torchvision 0.28 as PyPI serves it links against CUDA. Next to a CPU build of torch its `_C`
library does not load, and then `import torchvision` fails with "operator torchvision::nms does not
exist", and with it timm and much of transformers. The operators need only exist: declared here with
their schemas, they let torchvision register its own shape functions for them. Where `_C` does load,
nothing is declared.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

SCHEMAS = (
    "_cuda_version() -> int",
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width, "
    "int sampling_ratio, bool aligned) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float input_scale, int input_zero_point, "
    "float rois_scale, int rois_zero_point, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, "
    "float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, "
    "SymInt batch_size, SymInt channels, SymInt height, SymInt width) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width) -> (Tensor, Tensor)",
    "_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, "
    "SymInt pooled_height, SymInt pooled_width, SymInt batch_size, SymInt channels, "
    "SymInt height, SymInt width) -> Tensor",
    "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width) -> (Tensor, Tensor)",
    "_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, "
    "float spatial_scale, SymInt pooled_height, SymInt pooled_width, SymInt batch_size, "
    "SymInt channels, SymInt height, SymInt width) -> Tensor",
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, "
    "SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
    "_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, "
    "Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, "
    "SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, "
    "bool use_mask) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
"""torchvision's operators, as its C++ sources declare them."""

_declared: list[torch.library.Library] = []
_lock = threading.RLock()


@contextmanager
def importable_torchvision() -> Iterator[None]:
    """While this is active, `import torchvision` works whether or not its kernels can be loaded.

    What is imported within works afterwards too. Costs nothing once torchvision is imported.
    """
    if "torchvision" in sys.modules or not (library := _library()) or loads(library):
        yield
        return
    # An import that failed earlier leaves submodules that have found no kernels.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    declare()
    load = torch.ops.load_library

    def load_library(path: Any) -> None:
        # torchvision.extension asks once, for this file; the schemas are there already.
        if not Path(path).samefile(library):
            load(path)

    with patch.object(torch.ops, "load_library", load_library):
        yield


def loads(library: Path) -> bool:
    """Whether torchvision's compiled library can be loaded next to this torch; loads it."""
    if _declared:
        return False
    try:
        torch.ops.load_library(library)
    except (OSError, RuntimeError):
        return False
    return True


def declare() -> tuple[str, ...]:
    """Declares the operators that do not exist; returns their names.

    `nms` and `roi_align` get plain CPU kernels, because the detectors choose boxes by value and
    cannot run on shapes alone.
    """
    with _lock:
        missing = [s for s in SCHEMAS if not hasattr(torch.ops.torchvision, s.partition("(")[0])]
        if not missing:
            return ()
        library = torch.library.Library("torchvision", "FRAGMENT")
        names = [library.define(schema) for schema in missing]
        kernels = {"nms": nms, "roi_align": roi_align}
        for name in kernels.keys() & set(names):
            library.impl(name, kernels[name], "CPU")
        if "_cuda_version" in names:
            library.impl("_cuda_version", lambda: -1, "CompositeExplicitAutograd")
        # A library that is collected takes its operators with it.
        _declared.append(library)
        return tuple(names)


def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression: indices of the boxes kept, best first."""
    order = scores.sort(stable=True, descending=True).indices
    boxes = dets[order]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    suppressed = torch.zeros(len(order), dtype=torch.bool)
    kept = []
    for i in range(len(order)):
        if suppressed[i]:
            continue
        kept.append(i)
        rest = boxes[i + 1 :]
        low = torch.maximum(boxes[i, :2], rest[:, :2])
        high = torch.minimum(boxes[i, 2:], rest[:, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        iou = overlap / (areas[i] + areas[i + 1 :] - overlap)
        suppressed[i + 1 :] |= iou > iou_threshold
    return order[torch.tensor(kept, dtype=torch.int64)]


def roi_align(
    input: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """RoIAlign (He et al. 2017): the mean of bilinear samples in each bin of each region.

    Samples lie on a grid and bilinear weights are a product of one per axis, so that a region is
    two matrix products: rows · features · columns.
    """
    height, width = input.shape[-2:]
    out = input.new_zeros((len(rois), input.shape[1], pooled_height, pooled_width))
    shift = 0.5 if aligned else 0.0
    for k, (image, *corners) in enumerate(rois.tolist()):
        left, top, right, bottom = (corner * spatial_scale - shift for corner in corners)
        smallest = float("-inf") if aligned else 1.0
        rows = _axis(top, max(bottom - top, smallest), pooled_height, height, sampling_ratio)
        columns = _axis(left, max(right - left, smallest), pooled_width, width, sampling_ratio)
        out[k] = rows.to(input) @ input[int(image)] @ columns.to(input).T
    return out


def _axis(start: float, length: float, bins: int, size: int, sampling: int) -> torch.Tensor:
    """Weights of `size` positions in the mean of each of `bins` bins, along one axis."""
    step = length / bins
    samples = sampling if sampling > 0 else max(int(-(-length // bins)), 0)
    weights = torch.zeros((bins, size))
    if samples == 0:
        return weights
    at = torch.arange(bins)[:, None] + (torch.arange(samples) + 0.5) / samples
    at = start + at * step
    share = ((at >= -1) & (at <= size)).float() / samples
    at = at.clamp(0, size - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=size - 1)
    weights.scatter_add_(1, low, share * (1 - (at - low)))
    weights.scatter_add_(1, high, share * (at - low))
    return weights


def _library() -> Path | None:
    try:
        spec = importlib.util.find_spec("torchvision")
    except (ImportError, ValueError):
        return None
    for folder in spec.submodule_search_locations or () if spec else ():
        for found in (*Path(folder).glob("_C*.so"), *Path(folder).glob("_C*.pyd")):
            return found
    return None
