"""Which tables illustrate which article, in the article's order."""

from __future__ import annotations

ARTICLES = {
    "mobilenet_article": (
        "mobilenet_v1_table8 mobilenet_v1_table9 mobilenet_v2_table4 mobilenet_v3_table3_early "
        "mobilenet_article_claims mobilenet_article_orders mobilenet_v1_table6 mobilenet_v1_table7 "
        "mobilenet_article_alpha_beta_grid mobilenet_article_ds_conv_example "
        "mobilenet_article_xception_vs_mobilenet mobilenet_article_se_formula "
        "mobilenet_article_googlenet_first_conv googlenet_table1 resnet_table1 resnet_table2 "
        "mobilenet_v2_table2 mobilenet_v3_table1_large mobilenet_v3_table2_small"
    ).split(),
    "cnn_history": (
        "canziani_fig1_2 enet_table cnn_history_bottleneck lenet5_layers ciresan_table1 "
        "overfeat_table4 alexnet_totals alexnet_layer_params vgg_table2 nin_size googlenet_table1 "
        "inception_v3_table3 inception_v4_table1 inception_v4_table_multicrop resnet_table1 "
        "resnet_table3 resnet_table6 squeezenet_table1 squeezenet_table2 fractalnet_reference"
    ).split(),
    "compression_survey": (
        "compression_survey_table1 compression_survey_table2 squeezenet_table2 squeezenet_table3 "
        "deep_compression_table1 deep_compression_table2 deep_compression_table3 "
        "deep_compression_table4 deep_compression_table5 deep_compression_table6 "
        "deep_compression_table7 xnor_net_table1 distillation_table1 mobilenet_v1_table8 "
        "mobilenet_v1_table9 shufflenet_arxivv1_vs_mobilenet shufflenet_v1_table5 "
        "shufflenet_v1_table8"
    ).split(),
}
"""Ids of the tables behind an article's charts. Both versions where an article may have had either."""
