"""Writes the small networks beside this file, whose memory two real interpreters plan in the tests.

Made on 2026-11-22 with Python 3.11, tensorflow-cpu 2.21.0 and keras 3.15.1, in an environment of their own
(tensorflow is no dependency of the tests):

    python -m venv .venv-tf && .venv-tf/bin/pip install tensorflow-cpu==2.21.0 keras==3.15.1
    .venv-tf/bin/python tests/data/tflite/make.py

The weights are random and few: what is tested is where tensors lie, not what is in them. Every network is
written in float32, and those named in `INT8` also fully quantized.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as nn

Tensor = Any
Net = Callable[[Tensor], Tensor]

HERE = Path(__file__).parent
INT8 = ("plain", "residual", "depthwise", "inverted", "inception")


def conv(
    x: Tensor, channels: int, kernel: int = 3, stride: int = 1, act: str | None = "relu"
) -> Tensor:
    x = nn.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
    x = nn.BatchNormalization()(x)
    return nn.Activation(act)(x) if act else x


def depth(x: Tensor, stride: int = 1, act: str = "relu6") -> Tensor:
    x = nn.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
    return nn.Activation(act)(nn.BatchNormalization()(x))


def head(x: Tensor, *, mean: bool = False) -> Tensor:
    """A classifier, with the mean as one reduction (`MEAN`) or as a pooling window over the whole map."""
    pool = nn.GlobalAveragePooling2D() if mean else nn.AveragePooling2D(x.shape[1])
    return nn.Dense(10)(nn.Flatten()(pool(x)))


def plain(x: Tensor) -> Tensor:
    x = conv(conv(x, 8), 12)
    x = conv(nn.MaxPooling2D()(x), 16)
    x = nn.Flatten()(nn.MaxPooling2D(4)(x))
    return nn.Softmax()(nn.Dense(10)(nn.Dense(24, activation="relu")(x)))


def residual(x: Tensor) -> Tensor:
    x = conv(x, 8, stride=2)
    for channels, stride in ((8, 1), (12, 2), (12, 1)):
        short = conv(x, channels, 1, stride, act=None) if stride > 1 else x
        x = conv(conv(x, channels, stride=stride), channels, act=None)
        x = nn.ReLU()(nn.Add()([x, short]))
    return head(x)


def inception(x: Tensor) -> Tensor:
    x = conv(x, 8, stride=2)
    for width in (4, 6):
        pooled = conv(nn.AveragePooling2D(3, 1, padding="same")(x), width, 1)
        middle = conv(conv(x, width, 1), 2 * width)
        large = conv(conv(x, width // 2, 1), width, 5)
        x = nn.Concatenate()([conv(x, width, 1), middle, large, pooled])
    return head(conv(nn.MaxPooling2D()(x), 16, 1))


def depthwise(x: Tensor) -> Tensor:
    x = conv(x, 8, stride=2, act="relu6")
    for channels, stride in ((12, 1), (20, 2), (20, 1), (32, 2)):
        x = conv(depth(x, stride), channels, 1, act="relu6")
    return head(x, mean=True)


def inverted(x: Tensor) -> Tensor:
    x = conv(x, 8, stride=2, act="relu6")
    for channels, stride in ((8, 1), (12, 2), (12, 1), (16, 2), (16, 1)):
        y = conv(depth(conv(x, 4 * x.shape[-1], 1, act="relu6"), stride), channels, 1, act=None)
        x = nn.Add()([x, y]) if stride == 1 else y
    return head(x)


def dense(x: Tensor) -> Tensor:
    x = conv(x, 8, stride=2)
    for count in (4, 3):
        for _ in range(count):
            y = nn.ReLU()(nn.BatchNormalization()(x))
            y = conv(conv(y, 12, 1), 6, act=None)
            x = nn.Concatenate()([x, y])
        x = nn.AveragePooling2D(2)(conv(x, x.shape[-1] // 2, 1))
    return head(x)


def elementwise(x: Tensor) -> Tensor:
    """Products and sums of every kind: of a tensor's only reader, of one of several, and broadcast."""
    x = conv(x, 8, act="silu")
    y = conv(x, 8, act="silu")
    scale = nn.Dense(8, activation="sigmoid")(nn.GlobalAveragePooling2D(keepdims=True)(y))
    x = nn.Add()([nn.Multiply()([y, scale]), x])
    x = nn.Subtract()([nn.Activation("tanh")(x), nn.Activation("sigmoid")(x)])
    x = nn.Multiply()([x, nn.Activation("hard_swish")(conv(x, 8, act=None))])
    return nn.Softmax()(conv(x, 8, 1, act=None))


def skips(x: Tensor) -> list[Tensor]:
    """Tensors that live long: two levels of a U-Net, a dilated convolution, and two outputs."""
    first = conv(x, 6)
    second = conv(nn.MaxPooling2D()(first), 12)
    x = conv(nn.MaxPooling2D()(second), 16)
    x = nn.Conv2D(16, 3, dilation_rate=2, padding="valid", activation="relu")(x)
    small = nn.Conv2D(4, 1)(x)
    x = nn.UpSampling2D(interpolation="bilinear")(nn.ZeroPadding2D(2)(x))
    x = nn.UpSampling2D(interpolation="bilinear")(conv(nn.Concatenate()([x, second]), 12))
    return [conv(nn.Concatenate()([x, first]), 2, 1, act="sigmoid"), small]


NETS: dict[str, Net] = {
    net.__name__: net
    for net in (plain, residual, inception, depthwise, inverted, dense, elementwise, skips)
}


def write(name: str, net: Net, *, int8: bool) -> None:
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    entry = keras.Input((32, 32, 3), batch_size=1)
    model = keras.Model(entry, net(entry))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if int8:
        samples = np.random.default_rng(0).random((8, 1, 32, 32, 3), np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    file = HERE / f"{name}_{'int8' if int8 else 'fp32'}.tflite"
    file.write_bytes(converter.convert())
    print(f"{file.name}: {file.stat().st_size:,} B")


if __name__ == "__main__":
    for name, net in NETS.items():
        write(name, net, int8=False)
        if name in INT8:
            write(name, net, int8=True)
