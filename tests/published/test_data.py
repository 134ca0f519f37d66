"""The tables of the papers against the networks of the zoo: the facts."""

import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from cnnstat.published.articles import ARTICLES
from cnnstat.published.computing import NOT_YET, UNEXPLAINED, FilledTable, Measured, fill
from cnnstat.published.printed import Printed
from cnnstat.published.tables import list_tables, read_table
from tests.measured import analyze

# Tables with costs that nobody has filled in. It can only become shorter.
NOT_FILLED: set[str] = set()

# Of the verified costs in published, article, architecture and worked-example tables, those that are met
# within the printed rounding. Both can only grow.
VERIFIED, MET = 453, 410

# Of those, what is met by plain rounding, and what rests on a convention deduced from the print. README says
# all four.
PLAIN, DEDUCED = 335, 61

# Costs in those tables that have a reason in place of a number. It can only fall.
NOT_COMPUTED = 98


@pytest.fixture(scope="module")
def tables():
    reports = Measured(lambda spec, input: analyze(spec, input))
    return {id: fill(read_table(id), reports) for id in list_tables()}


def test_tables_that_are_not_filled(tables):
    found = {id for id, t in tables.items() if any(c.reason == NOT_YET for c in t.cells.values())}
    assert found == NOT_FILLED


def test_every_cost_has_a_number_or_a_reason(tables):
    for table in tables.values():
        for row, values in enumerate(table.table.rows, 1):
            for column in table.table.costs:
                if values.published.get(column) not in (None, ""):
                    cell = table.cells[row, column]
                    assert (cell.computed is None) == bool(cell.reason), (table.table.id, cell)


def test_every_difference_is_explained(tables):
    assert not [id for id, table in tables.items() if UNEXPLAINED in table.footnotes]


def test_a_number_that_is_not_the_printed_one_has_a_footnote(tables):
    for table in tables.values():
        for cell in table.cells.values():
            if cell.within is not None:
                value = table.table.rows[cell.row - 1].published[cell.column]
                same = Printed.of(value).agrees(cell.computed, "nearest")
                assert same or cell.notes, (table.table.id, cell)


def test_a_number_within_the_rounding_is_shown_as_printed(tables):
    # A count half-way between two printed numbers would agree with both.
    for table in tables.values():
        for cell in table.cells.values():
            if cell.within:
                assert cell.published.low <= cell.shown <= cell.published.high, (
                    table.table.id,
                    cell,
                )


def test_every_footnote_is_used(tables):
    for id, table in tables.items():
        unused = {note.text for note in table.table.footnotes} - set(table.footnotes)
        assert not unused, id


def test_reasons_are_written_down(tables):
    # Not an error of a specification that became a reason.
    for table in tables.values():
        written = {r.why_not for r in table.table.rules} | {r.why_not for r in table.table.rows}
        for cell in table.cells.values():
            assert not cell.reason or cell.reason in {*written, NOT_YET}, (table.table.id, cell)


def test_share_of_verified_costs_within_rounding(tables):
    verified = [
        cell
        for table in tables.values()
        for cell in table.owed
        if cell.within is not None and table.table.rows[cell.row - 1].verified(cell.column)
    ]
    met = sum(bool(cell.within) for cell in verified)
    assert len(verified) >= VERIFIED
    assert met >= MET
    assert met / len(verified) >= 0.9


def test_figures_of_the_readme(tables):
    plain = deduced = 0
    for table in tables.values():
        for cell in table.owed:
            row = table.table.rows[cell.row - 1]
            if cell.within and row.verified(cell.column):
                printed = Printed.of(row.published[cell.column])
                plain += printed.agrees(cell.computed, "nearest")
                deduced += any("deduced" in table.footnotes[note - 1] for note in cell.notes)
    assert (plain, deduced) == (PLAIN, DEDUCED)
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    said = (VERIFIED, PLAIN, MET - PLAIN, DEDUCED, MET)
    sentence = text.partition("Of the ")[2].partition("rest on")[0]
    assert re.findall(r"\d+", sentence) == [*map(str, said)]


def test_costs_without_a_number(tables):
    without = [cell for table in tables.values() for cell in table.owed if cell.reason]
    assert len(without) <= NOT_COMPUTED


def test_exact_counts_wherever_a_network_is_named(tables):
    for table in tables.values():
        for row, exact in zip(table.table.rows, table.exact, strict=True):
            assert bool(row.networks) == (exact is not None), table.table.id
            assert exact is None or all(type(count) is int for count in exact.values())


def column(table: FilledTable, key: str) -> list[tuple[object, object]]:
    """Published and computed, as shown."""
    return [
        (row.published.get(key), cell.shown if (cell := table.cells.get((n, key))) else None)
        for n, row in enumerate(table.table.rows, 1)
    ]


@pytest.mark.parametrize(
    ("id", "key"),
    [
        # Tables whose every figure is met.
        ("mobilenet_v1_table3", "mult_adds_m"),
        ("mobilenet_v1_table4", "mult_adds_m"),
        ("mobilenet_v1_table6", "mult_adds_m"),
        ("mobilenet_v1_table6", "params_m"),
        ("mobilenet_v1_table7", "mult_adds_m"),
        ("mobilenet_v1_table9", "mult_adds_m"),
        ("tfslim_mobilenet_v2", "macs_m"),
        ("tfslim_mobilenet_v2", "params_m"),
        ("vgg_table2", "params_m"),
        ("resnet_table1", "flops_g"),
        ("squeezenet_table1", "params_before"),
        ("squeezenet_table2", "size_before_mb"),
        ("shufflenet_v1_table1", "mflops"),
        ("overfeat_table4", "params_m"),
        ("lenet5_layers", "params"),
        ("mobilenet_article_se_formula", "formula_params"),
        ("mobilenet_article_se_formula", "real_params"),
        ("alexnet_layer_params", "params_ungrouped"),
    ],
)
def test_met_to_the_printed_digit(tables, id, key):
    for published, shown in column(tables[id], key):
        assert published == shown, id


def test_misprints_are_told_apart(tables):
    shares = tables["mobilenet_v1_table2"].cells
    assert shares[3, "mult_adds_pct"].shown == Decimal("1.91")
    assert sum(shares[n, "mult_adds_pct"].computed for n in range(1, 5)).quantize(1) == 100
    assert tables["mobilenet_v1_table12"].cells[3, "mult_adds_m"].shown == 41
    # As many operations as the printed widths make, where 5a's are printed as 54.
    assert tables["googlenet_table1"].cells[10, "ops_m"].shown == 51


def test_conventions_are_the_papers(tables):
    # Two for each multiply–accumulate in MobileNet's row of SqueezeNet, one in ShuffleNet's.
    assert tables["mobilenet_v1_table9"].cells[2, "mult_adds_m"].exact == 2 * 832_667_936
    assert tables["shufflenet_v1_table6"].cells[6, "mflops"].exact == 832_667_936
    # VGG-16 without, VGG-19 with the fully connected layers.
    assert tables["resnet_table1"].cells[6, "flops_g"].exact == 15_346_630_656
    assert tables["resnet_table1"].exact[5]["macs"] == 15_470_264_320


def test_deduced_conventions_say_what_the_plain_count_is(tables):
    deduced = {
        ("tfslim_mobilenet_v1", 1, "params_m"): "4,231,976",
        ("tfslim_mobilenet_v1", 5, "macs_m"): "325.4",
        ("mobilenet_v2_table3", 2, "v2_kb"): "150",
        ("googlenet_table1", 1, "params_k"): "9,472",
        ("mobilenet_v1_table8", 2, "params_m"): "6,998,552",
        ("nasnet_table2", 11, "params_m"): "88,753,150",
        ("shufflenet_v1_table5", 9, "mflops"): "36.9",
        ("deep_compression_table1", 4, "size_ref_kb"): "553.4",
        ("senet_table2", 5, "se_gflops"): "7.975",
        ("mobilenet_v3_table3", 7, "madds_m"): "43.4",
        ("xception_table", 3, "params"): "23,834,568",
    }
    for (id, row, key), plain in deduced.items():
        cell = tables[id].cells[row, key]
        said = " ".join(tables[id].footnotes[note - 1] for note in cell.notes)
        assert cell.within, (id, row, key)
        assert "deduced" in said, (id, row, key)
        assert plain in said, (id, row, key)


def test_a_deduced_convention_leaves_the_plain_counts_of_the_row(tables):
    # 325.4 M less the first convolution's 24 · 27 · 112².
    page = tables["tfslim_mobilenet_v1"]
    assert page.cells[5, "macs_m"].exact == 325_400_448 - 24 * 27 * 112**2 == 317_271_936
    assert page.exact[4]["macs"] == 325_400_448
    # 1,000 classes, in the table of a network for 120.
    dogs = tables["mobilenet_v1_table10"]
    assert dogs.cells[2, "mult_adds_m"].exact == 568_740_352
    assert dogs.exact[1]["macs"] == 568_740_352 - 880 * 1024


def test_worked_examples(tables):
    example = tables["mobilenet_article_ds_conv_example"].cells
    assert [example[n, "macs"].exact for n in range(1, 5)] == [2700, 675, 300, 975]
    assert [example[n, "params"].exact for n in range(1, 5)] == [108, 27, 12, 39]
    assert example[4, "times_less"].computed == (Decimal(36) / 13).quantize(Decimal("1e-12"))
    order = tables["mobilenet_article_xception_vs_mobilenet"].cells
    assert [order[n, "params"].exact for n in (1, 2, 3)] == [18_432, 2_624, 2_336]
    block = tables["cnn_history_bottleneck"].cells
    assert [block[n, "macs"].exact for n in range(1, 6)] == [
        589_824,
        16_384,
        36_864,
        16_384,
        69_632,
    ]
    first = tables["mobilenet_article_googlenet_first_conv"].cells
    assert [first[n, "weights"].exact for n in (1, 2)] == [2_688, 9_408]


def test_claimed_orders_hold_where_the_table_says_so(tables):
    orders = tables["mobilenet_article_orders"]
    said = {}
    for number, row in enumerate(orders.table.rows, 1):
        names = row.published["order"].lower().split(" < ")
        counts = [orders.cells[number, name].computed for name in names]
        holds = all(less < more for less, more in pairwise(counts))
        said[row.published["definition"]] = holds
        assert (row.published["holds"] == "yes") == holds, row.published
        # Where it fails, a footnote says at which network.
        assert holds or any(orders.cells[number, name].notes for name in names)
    assert sum(said.values()) == 3
    assert said["G MACs, usual"]
    assert said["MB read and written"]
    # The claims are those of the article.
    claims = [row.published["value_text"] for row in read_table("mobilenet_article_claims").rows]
    assert {row.published["order"] for row in orders.table.rows} == set(claims[-2:])


def test_layers_add_up_to_the_network(tables):
    # Howard et al. 2017, table 1, and the two of version 3.
    for id, macs in {
        "mobilenet_v1_table1": 568_740_352,
        "mobilenet_v2_table2": 300_774_272,
        "mobilenet_v3_table1_large": 216_589_760,
        "mobilenet_v3_table2_small": 56_510_400,
    }.items():
        cells = tables[id].cells.items()
        assert sum(cell.exact for (_, key), cell in cells if key == "macs") == macs


def test_articles_name_tables():
    for article, ids in ARTICLES.items():
        for id in ids:
            assert article in read_table(id).about["document"], id


def test_compressed_sides_are_never_filled(tables):
    for id, key in {
        "deep_compression_table1": "size_kb",
        "squeezenet_table1": "params_after",
    }.items():
        cells = [cell for (_, column), cell in tables[id].cells.items() if column == key]
        assert cells
        assert all(cell.computed is None and cell.reason for cell in cells)


def test_the_article_without_a_published_number_is_computed(tables):
    # Canziani et al. 2016, figure 2, has no numbers; VGG-16 has 2 · 15.47 G-Ops.
    assert tables["canziani_fig1_2"].cells[7, "ops_g"].shown == Decimal("30.9")
