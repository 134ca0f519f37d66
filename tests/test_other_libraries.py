"""Networks of libraries that cnnstat knows nothing of, small, beside torch's counter around a real run.

torch's counter prints two for each MAC of convolutions and matrix products, so its half is the reference,
with attention run as matrix products, because it has no formula for the fused kernels of a CPU. What it does
not know either is by hand, next to the network. `make test-libraries` installs the libraries and runs this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import cnnstat
from cnnstat.sources.torchvision_operators import importable_torchvision

Made = tuple[nn.Module, dict[str, Any]]
NETWORKS: dict[str, Callable[[], Made]] = {}
BY_HAND: dict[str, int] = {}
"""MACs that torch's counter does not see."""


def network(make: Callable[[], Made]) -> Callable[[], Made]:
    NETWORKS[make.__name__] = make
    return make


def library(name: str) -> Any:
    with importable_torchvision():
        return pytest.importorskip(name, exc_type=ImportError)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(1, *shape)


def words(count: int) -> torch.Tensor:
    return torch.arange(count)[None] + 3


# ---- diffusers


@network
def diffusers_unet() -> Made:
    net = library("diffusers").UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    return net, {"sample": images(3, 16, 16), "timestep": torch.tensor(3)}


@network
def diffusers_unet_with_text() -> Made:
    net = library("diffusers").UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=24,
        attention_head_dim=8,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    text = torch.rand(1, 5, 24)
    inputs = {"sample": images(4, 16, 16), "timestep": torch.tensor(3)}
    return net, {**inputs, "encoder_hidden_states": text}


def autoencoder(name: str, **settings: Any) -> Made:
    net = getattr(library("diffusers"), name)(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        **settings,
    )
    return net, {"sample": images(3, 16, 16)}


@network
def diffusers_vae() -> Made:
    return autoencoder("AutoencoderKL")


@network
def diffusers_vq() -> Made:
    return autoencoder("VQModel", num_vq_embeddings=64)


# Distances of 8×8 positions to 64 codes, in 3 channels.
BY_HAND["diffusers_vq"] = 64 * 64 * 3


@network
def diffusers_dit() -> Made:
    net = library("diffusers").DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        sample_size=16,
        num_embeds_ada_norm=10,
    )
    given = {"timestep": torch.tensor([3]), "class_labels": torch.tensor([1])}
    return net, {"hidden_states": images(4, 16, 16), **given}


# ---- transformers

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 60,
}


def transformer(name: str, config: str, **settings: Any) -> nn.Module:
    transformers = library("transformers")
    net: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**settings))
    return net


@network
def transformers_bert() -> Made:
    return transformer("BertModel", "BertConfig", **SMALL), {"input_ids": words(7)}


@network
def transformers_gpt2() -> Made:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 60, "n_positions": 32}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    net = transformer("GPT2LMHeadModel", "GPT2Config", **sizes, **ends)
    return net, {"input_ids": words(7)}


@network
def transformers_llama() -> Made:
    net = transformer("LlamaForCausalLM", "LlamaConfig", **SMALL, num_key_value_heads=2)
    return net, {"input_ids": words(7)}


@network
def transformers_mixtral() -> Made:
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    net = transformer(
        "MixtralForCausalLM", "MixtralConfig", **SMALL, num_key_value_heads=2, **experts
    )
    return net, {"input_ids": words(7)}


# Each of 7 tokens goes to two experts, in each of 2 layers: gate and up 32 → 64 each, down 64 → 32.
BY_HAND["transformers_mixtral"] = 2 * 7 * 2 * 3 * 32 * 64


@network
def transformers_t5() -> Made:
    sizes = {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 60,
    }
    return transformer("T5EncoderModel", "T5Config", **sizes), {"input_ids": words(7)}


@network
def transformers_whisper() -> Made:
    coder = {"layers": 1, "attention_heads": 4, "ffn_dim": 64}
    sizes = {
        f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in coder.items()
    }
    net = transformer(
        "WhisperModel",
        "WhisperConfig",
        d_model=32,
        vocab_size=60,
        num_mel_bins=8,
        max_source_positions=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        **sizes,
    )
    return net, {"input_features": torch.rand(1, 8, 40), "decoder_input_ids": words(4)}


@network
def transformers_swin() -> Made:
    net = transformer(
        "SwinModel",
        "SwinConfig",
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
    )
    return net, {"pixel_values": images(3, 32, 32)}


@network
def transformers_segformer() -> Made:
    net = transformer(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        hidden_sizes=[8, 16, 24, 32],
        depths=[1] * 4,
        num_attention_heads=[1, 2, 3, 4],
        decoder_hidden_size=16,
    )
    return net, {"pixel_values": images(3, 64, 64)}


@network
def transformers_mamba() -> Made:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 60, "state_size": 4}
    return transformer("MambaForCausalLM", "MambaConfig", **sizes), {"input_ids": words(5)}


@network
def transformers_convnext() -> Made:
    sizes = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
    net = transformer("ConvNextModel", "ConvNextConfig", **sizes)
    return net, {"pixel_values": images(3, 32, 32)}


@network
def transformers_wav2vec2() -> Made:
    net = transformer(
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(8, 8),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    return net, {"input_values": torch.rand(1, 400)}


@network
def transformers_clip() -> Made:
    tower = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    net = transformer(
        "CLIPModel",
        "CLIPConfig",
        text_config={**tower, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    return net, {"input_ids": words(7), "pixel_values": images(3, 32, 32)}


# ---- segmentation-models-pytorch


def segmentation(name: str) -> Callable[[], Made]:
    def make() -> Made:
        kind = getattr(library("segmentation_models_pytorch"), name)
        return kind("resnet18", encoder_weights=None, classes=3), {"x": images(3, 64, 64)}

    return make


for _name in ("Unet", "UnetPlusPlus", "FPN", "PSPNet", "DeepLabV3Plus", "MAnet", "Linknet"):
    NETWORKS[f"segmentation_{_name}"] = segmentation(_name)


# ---- kornia


@network
def kornia_vit() -> Made:
    kind = library("kornia.models.vit").VisionTransformer
    net = kind(image_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=4)
    return net, {"x": images(3, 32, 32)}


@network
def kornia_hardnet() -> Made:
    return library("kornia.feature").HardNet(False), {"input": images(1, 32, 32)}


@network
def kornia_affnet() -> Made:
    frame = torch.tensor([[[[8.0, 0.0, 16.0], [0.0, 8.0, 16.0]]]])
    net = library("kornia.feature").LAFAffNetShapeEstimator(False)
    return net, {"laf": frame, "img": images(1, 32, 32)}


# ---- monai


@network
def monai_unet() -> Made:
    net = library("monai.networks.nets").UNet(3, 1, 2, channels=(4, 8, 16), strides=(2, 2))
    return net, {"x": images(1, 16, 16, 16)}


@network
def monai_segresnet() -> Made:
    return library("monai.networks.nets").SegResNet(3, 8, 1, 2), {"x": images(1, 16, 16, 16)}


@network
def monai_vnet() -> Made:
    return library("monai.networks.nets").VNet(), {"x": images(1, 16, 16, 16)}


@network
def monai_densenet() -> Made:
    return library("monai.networks.nets").DenseNet121(2, 1, 2), {"x": images(1, 64, 64)}


# ---- open_clip


def clip(name: str) -> Made:
    net = library("open_clip").create_model(name)
    return net, {"image": images(3, 224, 224), "text": torch.arange(77)[None]}


@network
def open_clip_resnet() -> Made:
    return clip("RN50")


@network
def open_clip_vit() -> Made:
    return clip("ViT-B-32")


# ---- torch_geometric


def graph(name: str, **settings: Any) -> Callable[[], Made]:
    def make() -> Made:
        edges = torch.tensor([[0, 1, 2, 3, 1, 2], [1, 2, 3, 0, 0, 1]])
        net = getattr(library("torch_geometric.nn"), name)(8, 16, 2, 4, **settings)
        return net, {"x": torch.rand(4, 8), "edge_index": edges}

    return make


NETWORKS["geometric_gcn"] = graph("GCN")
NETWORKS["geometric_gat"] = graph("GAT", heads=2)
NETWORKS["geometric_sage"] = graph("GraphSAGE")
NETWORKS["geometric_gin"] = graph("GIN")


# ---- ultralytics


def detector(name: str) -> Callable[[], Made]:
    def make() -> Made:
        kind = library("ultralytics.nn.tasks").DetectionModel
        return kind(f"{name}.yaml", verbose=False), {"x": images(3, 64, 64)}

    return make


for _name in ("yolov5n", "yolov8n", "yolov10n", "yolo11n"):
    NETWORKS[_name] = detector(_name)


# ---- neuralop


def fourier(name: str) -> Callable[[], Made]:
    def make() -> Made:
        kind = getattr(library("neuralop.models"), name)
        net = kind(n_modes=(4, 4), hidden_channels=8, in_channels=1, out_channels=1, n_layers=2)
        return net, {"x": images(1, 16, 16)}

    return make


NETWORKS["neuralop_fno"] = fourier("FNO")
# A product of complex numbers is four of real ones; torch's counter prints one. Each of 2 layers takes 8
# channels to 8 at 4 × 3 frequencies: the real transform keeps 4 // 2 + 1 of the last axis.
BY_HAND["neuralop_fno"] = 3 * 2 * 8 * 8 * 4 * 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_as_torch_s_counter_counts_a_real_run(name: str) -> None:
    torch.manual_seed(0)
    net, inputs = NETWORKS[name]()
    net.eval()
    counter = FlopCounterMode(display=False)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            net(**inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    report = cnnstat.analyze(net, inputs)
    assert 2 * (report.totals.macs - BY_HAND.get(name, 0)) == counter.get_total_flops() > 0
    assert not report.uncounted


# ---- spikingjelly, which needs torchaudio and so is installed by hand


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_spiking_neurons_without_a_rule_are_named() -> None:
    """Every layer of a VGG-11 as torch counts it; the eight neurons have no rule, and are said."""
    model = library("spikingjelly.activation_based.model.spiking_vgg")
    neuron = library("spikingjelly.activation_based.neuron")
    net = model.spiking_vgg11(spiking_neuron=neuron.IFNode, num_classes=10).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(images(3, 64, 64))
    report = cnnstat.analyze(net, (1, 3, 64, 64))
    assert 2 * report.totals.macs == counter.get_total_flops()
    assert report.uncounted


def test_enough_networks_are_tried() -> None:
    assert len(NETWORKS) >= 25
