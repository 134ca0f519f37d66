"""AlexNet (2012)."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import conv_relu, local_response_norm, one_of, relu, sequence


def alexnet_2012(groups: int = 2, num_classes: int = 1000) -> nn.Sequential:
    """AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NIPS 2012, section 3.5 and figure 2. Input 3×227×227.

    60 M parameters. Two GPUs, that is `groups` in the second, fourth and fifth convolution;
    `groups=1` is the network on one GPU (62,378,344 parameters) that later papers compare with.

    Deviations: the paper prints 224, with which its 55×55 maps are not to be had without padding;
    227 is Caffe's (bvlc_alexnet). The softmax is left to the loss. torchvision's `alexnet` is the
    single-stream network of 2014, with other widths.
    """
    one_of("groups", groups, (1, 2))
    return sequence(
        {
            "conv1": conv_relu(3, 96, 11, 4, padding=0),
            "norm1": local_response_norm(),
            "pool1": nn.MaxPool2d(3, 2),
            "conv2": conv_relu(96, 256, 5, groups=groups),
            "norm2": local_response_norm(),
            "pool2": nn.MaxPool2d(3, 2),
            "conv3": conv_relu(256, 384, 3),
            "conv4": conv_relu(384, 384, 3, groups=groups),
            "conv5": conv_relu(384, 256, 3, groups=groups),
            "pool5": nn.MaxPool2d(3, 2),
            "flatten": nn.Flatten(),
            "fc6": nn.Linear(256 * 6 * 6, 4096),
            "relu6": relu(),
            "drop6": nn.Dropout(),
            "fc7": nn.Linear(4096, 4096),
            "relu7": relu(),
            "drop7": nn.Dropout(),
            "fc8": nn.Linear(4096, num_classes),
        }
    )
