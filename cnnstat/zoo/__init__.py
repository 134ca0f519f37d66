"""Networks as their papers describe them, in plain torch.nn; the registry must not import torch.

A model is a function in a file of its family, with the paper, its table and every deviation in the
docstring, and a line in `MODELS`. A name that is one of torchvision's too is the same network there: a
bare name stays what it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the zoo."""

    factory: str
    """`"module:function"` within `cnnstat.zoo`."""
    input: tuple[int, ...]
    """Shape of the input for which the paper states its numbers."""
    paper: str
    """Author, year and where the numbers stand."""

    def load(self) -> Callable[..., Any]:
        """The function that builds the model."""
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(
            importlib.import_module(f"cnnstat.zoo.{module}"), name
        )
        return factory


MODELS = {
    # Before residual networks
    "lenet5": Entry("lenet:lenet5", (1, 1, 32, 32), "LeCun et al. 1998, section II.B"),
    "lenet5_caffe": Entry(
        "lenet:lenet5_caffe", (1, 1, 28, 28), "Han et al. 2015 (Deep Compression), tables 1 and 3"
    ),
    "lenet_300_100": Entry(
        "lenet:lenet_300_100", (1, 1, 28, 28), "Han et al. 2015 (Deep Compression), tables 1 and 2"
    ),
    "perceptron": Entry("mlp:perceptron", (1, 1, 28, 28), "LeCun et al. 1998, section III.C"),
    "ciresan_mlp": Entry("mlp:ciresan_mlp", (1, 1, 29, 29), "Cireşan et al. 2010, table 1"),
    "acoustic_dnn": Entry(
        "mlp:acoustic_dnn", (1, 26, 40), "Hinton et al. 2015 (distillation), section 4"
    ),
    "rnn_classifier": Entry("rnn:rnn_classifier", (1, 28, 28), "Elman 1990; an example"),
    "lstm_classifier": Entry(
        "rnn:lstm_classifier", (1, 28, 28), "Hochreiter, Schmidhuber 1997; an example"
    ),
    "alexnet_2012": Entry(
        "alexnet:alexnet_2012", (1, 3, 227, 227), "Krizhevsky et al. 2012, section 3.5"
    ),
    "overfeat_fast": Entry(
        "overfeat:overfeat_fast", (1, 3, 231, 231), "Sermanet et al. 2013, tables 1 and 4"
    ),
    "overfeat_accurate": Entry(
        "overfeat:overfeat_accurate", (1, 3, 221, 221), "Sermanet et al. 2013, tables 3 and 4"
    ),
    "nin_cifar10": Entry("nin:nin_cifar10", (1, 3, 32, 32), "Lin et al. 2013, section 4"),
    "nin_imagenet": Entry(
        "nin:nin_imagenet", (1, 3, 224, 224), "Lin et al. 2013; Caffe's Model Zoo"
    ),
    "vgg_a": Entry("vgg:vgg_a", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"),
    "vgg_a_lrn": Entry(
        "vgg:vgg_a_lrn", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"
    ),
    "vgg_b": Entry("vgg:vgg_b", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"),
    "vgg_c": Entry("vgg:vgg_c", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"),
    "vgg_d": Entry("vgg:vgg_d", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"),
    "vgg_e": Entry("vgg:vgg_e", (1, 3, 224, 224), "Simonyan, Zisserman 2014, tables 1 and 2"),
    "googlenet_2014": Entry(
        "inception:googlenet_2014", (1, 3, 224, 224), "Szegedy et al. 2014, table 1"
    ),
    "bn_inception": Entry(
        "inception:bn_inception",
        (1, 3, 224, 224),
        "Ioffe, Szegedy 2015, figure 5; NASNet's table 2",
    ),
    "inception_v3_2015": Entry(
        "inception:inception_v3_2015",
        (1, 3, 299, 299),
        "Szegedy et al. 2015, table 3; NASNet's table 2",
    ),
    "inception_v4": Entry(
        "inception_v4:inception_v4", (1, 3, 299, 299), "Szegedy et al. 2016, figures 3 to 9"
    ),
    "inception_resnet_v1": Entry(
        "inception_v4:inception_resnet_v1",
        (1, 3, 299, 299),
        "Szegedy et al. 2016, figures 10 to 15",
    ),
    "inception_resnet_v2": Entry(
        "inception_v4:inception_resnet_v2",
        (1, 3, 299, 299),
        "Szegedy et al. 2016, figures 15 to 19; NASNet's table 2",
    ),
    # Residual, dense and separable
    "plain18": Entry("resnet:plain18", (1, 3, 224, 224), "He et al. 2015, tables 1 and 2"),
    "plain34": Entry("resnet:plain34", (1, 3, 224, 224), "He et al. 2015, figure 3, table 2"),
    "resnet18_v1": Entry("resnet:resnet18_v1", (1, 3, 224, 224), "He et al. 2015, table 1"),
    "resnet34_v1": Entry("resnet:resnet34_v1", (1, 3, 224, 224), "He et al. 2015, table 1"),
    "resnet50_v1": Entry("resnet:resnet50_v1", (1, 3, 224, 224), "He et al. 2015, table 1"),
    "resnet101_v1": Entry("resnet:resnet101_v1", (1, 3, 224, 224), "He et al. 2015, table 1"),
    "resnet152_v1": Entry("resnet:resnet152_v1", (1, 3, 224, 224), "He et al. 2015, table 1"),
    "resnet20_cifar": Entry(
        "resnet_cifar:resnet20_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnet32_cifar": Entry(
        "resnet_cifar:resnet32_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnet44_cifar": Entry(
        "resnet_cifar:resnet44_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnet56_cifar": Entry(
        "resnet_cifar:resnet56_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnet110_cifar": Entry(
        "resnet_cifar:resnet110_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnet1202_cifar": Entry(
        "resnet_cifar:resnet1202_cifar", (1, 3, 32, 32), "He et al. 2015, table 6"
    ),
    "resnext": Entry("resnext:resnext", (1, 3, 224, 224), "Xie et al. 2016, tables 2 to 4"),
    "resnext50_32x4d": Entry(
        "resnext:resnext50_32x4d", (1, 3, 224, 224), "Xie et al. 2016, table 1"
    ),
    "resnext101_32x4d": Entry(
        "resnext:resnext101_32x4d", (1, 3, 224, 224), "Xie et al. 2016, table 3"
    ),
    "resnext101_64x4d": Entry(
        "resnext:resnext101_64x4d", (1, 3, 224, 224), "Xie et al. 2016, table 4"
    ),
    "se_resnet50": Entry("senet:se_resnet50", (1, 3, 224, 224), "Hu et al. 2017, tables 1 and 2"),
    "se_resnet101": Entry("senet:se_resnet101", (1, 3, 224, 224), "Hu et al. 2017, table 2"),
    "se_resnet152": Entry("senet:se_resnet152", (1, 3, 224, 224), "Hu et al. 2017, table 2"),
    "se_resnext50": Entry("senet:se_resnext50", (1, 3, 224, 224), "Hu et al. 2017, tables 1 and 2"),
    "se_resnext101": Entry("senet:se_resnext101", (1, 3, 224, 224), "Hu et al. 2017, table 2"),
    "se_mobilenet": Entry("senet:se_mobilenet", (1, 3, 224, 224), "Hu et al. 2017, table 3"),
    "senet154": Entry("senet:senet154", (1, 3, 224, 224), "Hu et al. 2017, appendix"),
    "densenet121": Entry(
        "densenet:densenet121", (1, 3, 224, 224), "Huang et al. 2016, tables 1 and 3"
    ),
    "densenet169": Entry(
        "densenet:densenet169", (1, 3, 224, 224), "Huang et al. 2016, tables 1 and 3"
    ),
    "densenet201": Entry(
        "densenet:densenet201", (1, 3, 224, 224), "Huang et al. 2016, tables 1 and 3"
    ),
    "densenet264": Entry(
        "densenet:densenet264", (1, 3, 224, 224), "Huang et al. 2016, tables 1 and 3"
    ),
    "densenet161": Entry(
        "densenet:densenet161", (1, 3, 224, 224), "Huang et al. 2016, first version, table 1"
    ),
    "densenet_cifar": Entry(
        "densenet:densenet_cifar", (1, 3, 32, 32), "Huang et al. 2016, table 2"
    ),
    "fractalnet_cifar": Entry(
        "fractalnet:fractalnet_cifar", (1, 3, 32, 32), "Larsson et al. 2016, section 4"
    ),
    "xception": Entry("xception:xception", (1, 3, 299, 299), "Chollet 2016, figure 5"),
    # Small networks
    "squeezenet1_0": Entry(
        "squeezenet:squeezenet1_0", (1, 3, 227, 227), "Iandola et al. 2016, table 1"
    ),
    "squeezenet1_1": Entry(
        "squeezenet:squeezenet1_1", (1, 3, 224, 224), "Iandola et al. 2016, the authors' repository"
    ),
    "squeezenet_simple_bypass": Entry(
        "squeezenet:squeezenet_simple_bypass", (1, 3, 227, 227), "Iandola et al. 2016, table 3"
    ),
    "squeezenet_complex_bypass": Entry(
        "squeezenet:squeezenet_complex_bypass", (1, 3, 227, 227), "Iandola et al. 2016, table 3"
    ),
    "enet": Entry("enet:enet", (1, 3, 360, 640), "Paszke et al. 2016, hardware requirements"),
    "segnet": Entry(
        "segnet:segnet", (1, 3, 360, 640), "Badrinarayanan et al. 2015; Paszke et al. 2016"
    ),
    "mobilenet_v1": Entry(
        "mobilenet:mobilenet_v1", (1, 3, 224, 224), "Howard et al. 2017, tables 1 and 8"
    ),
    "mobilenet_v1_conv": Entry(
        "mobilenet:mobilenet_v1_conv", (1, 3, 224, 224), "Howard et al. 2017, table 4"
    ),
    "mobilenet_v1_shallow": Entry(
        "mobilenet:mobilenet_v1_shallow", (1, 3, 224, 224), "Howard et al. 2017, table 5"
    ),
    "mobilenet_v2": Entry(
        "mobilenet:mobilenet_v2", (1, 3, 224, 224), "Sandler et al. 2018, tables 2 and 4"
    ),
    "mobilenet_v3_large": Entry(
        "mobilenet:mobilenet_v3_large", (1, 3, 224, 224), "Howard et al. 2019, tables 1 and 3"
    ),
    "mobilenet_v3_small": Entry(
        "mobilenet:mobilenet_v3_small", (1, 3, 224, 224), "Howard et al. 2019, tables 2 and 3"
    ),
    "shufflenet_v1": Entry(
        "shufflenet:shufflenet_v1", (1, 3, 224, 224), "Zhang et al. 2017, tables 1, 2 and 5"
    ),
    "nasnet_a_mobile": Entry(
        "nasnet:nasnet_a_mobile", (1, 3, 224, 224), "Zoph et al. 2017, table 3"
    ),
    "nasnet_a_large": Entry("nasnet:nasnet_a_large", (1, 3, 331, 331), "Zoph et al. 2017, table 2"),
    "mnasnet_b1": Entry(
        "mnasnet:mnasnet_b1", (1, 3, 224, 224), "Tan et al. 2018, the authors' code"
    ),
    "mnasnet_a1": Entry("mnasnet:mnasnet_a1", (1, 3, 224, 224), "Tan et al. 2018, table 1"),
    "proxylessnas_mobile": Entry(
        "mnasnet:proxylessnas_mobile",
        (1, 3, 224, 224),
        "Cai et al. 2018; Howard et al. 2019, table 3",
    ),
    "alexnet_bwn": Entry(
        "binary:alexnet_bwn", (1, 3, 224, 224), "Rastegari et al. 2016, table 1 and figure 4a"
    ),
    "alexnet_xnor": Entry(
        "binary:alexnet_xnor", (1, 3, 224, 224), "Rastegari et al. 2016, table 1 and figure 4a"
    ),
    "resnet18_bwn": Entry(
        "binary:resnet18_bwn", (1, 3, 224, 224), "Rastegari et al. 2016, table 2"
    ),
    "resnet18_xnor": Entry(
        "binary:resnet18_xnor", (1, 3, 224, 224), "Rastegari et al. 2016, table 2"
    ),
    # What articles work out by hand
    "standard_conv": Entry(
        "worked_examples:standard_conv", (1, 3, 5, 5), "Howard et al. 2017, equation 2"
    ),
    "separable_conv": Entry(
        "worked_examples:separable_conv", (1, 3, 5, 5), "Howard et al. 2017, equation 5"
    ),
    "pointwise_first": Entry(
        "worked_examples:pointwise_first", (1, 32, 112, 112), "Chollet 2016, section 2"
    ),
    "bottleneck_conv": Entry(
        "worked_examples:bottleneck_conv", (1, 256, 14, 14), "He et al. 2015, figure 5"
    ),
    "factorised_conv": Entry(
        "worked_examples:factorised_conv",
        (1, 3, 224, 224),
        "Szegedy et al. 2014, table 1; an article's formula",
    ),
}
"""All models by name."""
