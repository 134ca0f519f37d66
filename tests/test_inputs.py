from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.errors import InputError
from cnnstat.inputs import ALIASES, DTYPES, Inputs, InputSpec, parse_input
from tests.processes import run


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1x3x224x224", InputSpec((1, 3, 224, 224))),
        ("1,3,224,224", InputSpec((1, 3, 224, 224))),
        (" 1X3×224x224 ", InputSpec((1, 3, 224, 224))),
        ("1, 3, 8, 8", InputSpec((1, 3, 8, 8))),
        ("128", InputSpec((128,))),
        ("128,", InputSpec((128,))),
        ("ids=1x128:int64", InputSpec((1, 128), "int64", "ids")),
        ("x=1x3x224x224:float16", InputSpec((1, 3, 224, 224), "float16", "x")),
        ("1x8:half", InputSpec((1, 8), "float16")),
        ("1x8:torch.long", InputSpec((1, 8), "int64")),
        ("1x8:BF16", InputSpec((1, 8), "bfloat16")),
    ],
)
def test_reads(text, spec):
    assert parse_input(text) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "1xx3",
        "x1x3",
        "1x3x",
        "1 3 4",
        "-1x3",
        "1x-3x4",
        "1.5x3",
        "=1x3",
        "a b=1x3",
        "1=1x3",
        "ids=",
        "ids=1x3:",
        "1x3:float33",
        "1x3:int64:int64",
        "a=b=1x3",
        "1x0x3",
        "9999999999x9999999999",
        "9" * 5000,
        "1x3\x00",
        "١x٣",
    ],
)
def test_refuses_in_one_line(text):
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert "\n" not in caught.value.message
    assert "expected" in caught.value.message or "more elements" in caught.value.message


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        spec = parse_input(text)
    except InputError as error:
        assert "\n" not in error.message
    else:
        assert parse_input(str(spec)) == spec


@given(
    st.lists(st.integers(1, 99), min_size=1, max_size=6),
    st.sampled_from(DTYPES),
    st.sampled_from(["", "x", "input_ids"]),
)
def test_text_round_trips(shape, dtype, name):
    spec = InputSpec(tuple(shape), dtype, name)
    assert parse_input(str(spec)) == spec


def test_aliases_lead_to_dtypes():
    assert set(ALIASES.values()) <= set(DTYPES)
    assert not set(ALIASES) & set(DTYPES)


def test_dtypes_are_torchs():
    torch = pytest.importorskip("torch")
    for name in DTYPES:
        assert str(getattr(torch, name)) == f"torch.{name}"
    for alias, name in ALIASES.items():
        if hasattr(torch, alias):
            assert getattr(torch, alias) == getattr(torch, name)


class TestOf:
    def test_none_is_the_models_own(self):
        assert Inputs.of(None) is None

    def test_a_shape_is_one_argument(self):
        expected = Inputs((InputSpec((1, 3, 8, 8)),))
        assert Inputs.of((1, 3, 8, 8)) == Inputs.of([1, 3, 8, 8]) == expected
        assert Inputs.of("1x3x8x8") == Inputs.of(["1x3x8x8"]) == expected

    def test_a_tuple_of_shapes_is_several_arguments(self):
        assert Inputs.of(((1, 3), (1, 4))) == Inputs((InputSpec((1, 3)), InputSpec((1, 4))))

    def test_specs_keep_their_names(self):
        ids = InputSpec((1, 5), "int64", "ids")
        assert Inputs.of(ids) == Inputs.of([ids]) == Inputs(kwargs={"ids": ids})

    def test_a_dictionary_is_keywords(self):
        inputs = Inputs.of({"ids": "1x128:int64", "mode": "train", "n": 3, "x": (1, 2)})
        assert inputs.args == ()
        assert inputs.kwargs == {
            "ids": InputSpec((1, 128), "int64"),
            "mode": "train",
            "n": 3,
            "x": InputSpec((1, 2)),
        }

    def test_lists_inside_stay_lists(self):
        inputs = Inputs.of(([(3, 8, 8), (3, 9, 9)], {"boxes": [(4, 4)]}))
        assert inputs.args == (
            [InputSpec((3, 8, 8)), InputSpec((3, 9, 9))],
            {"boxes": [InputSpec((4, 4))]},
        )

    def test_tensors_stay(self):
        torch = pytest.importorskip("torch")
        image = torch.zeros(1, 3, 8, 8)
        assert Inputs.of(image).args[0] is image
        assert Inputs.of((image, (1, 2))).args == (image, InputSpec((1, 2)))
        assert str(Inputs.of(image)) == "1x3x8x8"

    @pytest.mark.parametrize("value", [5, 1.5, object(), True])
    def test_refuses_the_rest(self, value):
        with pytest.raises(InputError, match="expected a shape"):
            Inputs.of(value)

    def test_refuses_negative_sizes(self):
        with pytest.raises(InputError, match="negative"):
            Inputs.of((1, -3, 8))


class TestParse:
    def test_names_become_keywords(self):
        inputs = Inputs.parse(["1x3x8x8", "mask=1x8:bool"])
        assert inputs.args == (InputSpec((1, 3, 8, 8)),)
        assert inputs.kwargs == {"mask": InputSpec((1, 8), "bool", "mask")}
        assert str(inputs) == "1x3x8x8, mask=1x8:bool"

    def test_a_name_given_twice(self):
        with pytest.raises(InputError, match="given twice"):
            Inputs.parse(["x=1x3", "x=1x4"])


class TestBatch:
    def test_first_size_of_every_tensor(self):
        inputs = Inputs.of(((1, 3, 8, 8), {"ids": (1, 5)})).with_batch(4)
        assert inputs.args == (InputSpec((4, 3, 8, 8)), {"ids": InputSpec((4, 5))})

    def test_a_list_of_images_gets_longer(self):
        image = InputSpec((3, 8, 8))
        inputs = Inputs(([image],), listed=True).with_batch(3)
        assert inputs == Inputs(([image, image, image],), listed=True)
        assert inputs.with_batch(1).args == ([image],)

    def test_a_tensor_keeps_its_batch(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(InputError, match="1x3x8x8"):
            Inputs.of(torch.zeros(1, 3, 8, 8)).with_batch(2)

    def test_starts_at_one(self):
        with pytest.raises(InputError, match="1 or more"):
            Inputs.of((1, 3)).with_batch(0)


class TestResolution:
    def test_the_last_two_sizes_of_every_image(self):
        inputs = Inputs.of(((1, 3, 8, 9), {"ids": (1, 5)}, (1, 3, 4, 8, 8))).with_resolution(6)
        assert inputs.args == (
            InputSpec((1, 3, 6, 6)),
            {"ids": InputSpec((1, 5))},
            InputSpec((1, 3, 4, 6, 6)),
        )

    def test_of_a_list_of_images(self):
        inputs = Inputs(([InputSpec((3, 8, 8))],), listed=True).with_resolution(6)
        assert inputs.args == ([InputSpec((3, 6, 6))],)

    @pytest.mark.parametrize(
        ("shape", "size", "words"),
        [((1, 5), 6, "no input has a height"), ((1, 3, 8, 8), 0, "expected 1 or more")],
    )
    def test_what_cannot_be(self, shape, size, words):
        with pytest.raises(InputError, match=words):
            Inputs.of(shape).with_resolution(size)

    def test_a_tensor_keeps_its_size(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(InputError, match="keeps its size"):
            Inputs.of(torch.zeros(1, 3, 8, 8)).with_resolution(6)


class TestDeclared:
    def test_lightnings_example(self):
        torch = pytest.importorskip("torch")

        class Model:
            example_input_array = torch.zeros(2, 3, dtype=torch.int64)

        assert Inputs.declared_by(Model()) == Inputs((InputSpec((2, 3), "int64"),))

    def test_timms_configuration(self):
        model = SimpleNamespace(pretrained_cfg={"input_size": (3, 7, 9)})
        assert Inputs.declared_by(model) == Inputs((InputSpec((1, 3, 7, 9)),))

    def test_silence(self):
        assert Inputs.declared_by(object()) is None


def test_needs_no_torch():
    code = "import cnnstat.inputs, sys; assert 'torch' not in sys.modules"
    run(code)
