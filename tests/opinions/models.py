"""The models on which no difference may stay unexplained."""

from __future__ import annotations

FORTY = """
    alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet
    inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0
    shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 efficientnet_b0 efficientnet_b3
    efficientnet_v2_s regnet_y_400mf regnet_x_400mf convnext_tiny convnext_small swin_t swin_s
    swin_v2_t maxvit_t vit_b_16 vit_b_32 fcn_resnet50 deeplabv3_mobilenet_v3_large
    lraspp_mobilenet_v3_large r3d_18 mc3_18 s3d mvit_v1_b raft_small
""".split()
"""Every torchvision family but the detectors, which only run for real: their shapes depend on their data,
and fvcore's tracing of one takes twenty seconds (ssdlite320_mobilenet_v3_large, which agrees as well)."""

SAMPLE = ["alexnet", "squeezenet1_1", "mobilenet_v3_small", "swin_t", "vit_b_32"]
"""Small ones, for every run: convolutions, blocks, windows, fused attention."""

BEYOND_CONVENTION = {
    # scaled_dot_product_attention has no formula in fvcore
    "vit_b_16": {"counted as zero"},
    "vit_b_32": {"counted as zero"},
    # its windows are multiplied by torch.einsum
    "maxvit_t": {"error"},
}
"""What fvcore's numbers differ by besides its convention; torch's counter agrees on all forty."""
