import os
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from cnnstat.errors import BuildError, SourceUnavailable, SpecError
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from tests.forked import run

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, *, bias=True):
        super().__init__()
        self.layer = nn.Linear(width, width, bias=bias)

    def forward(self, x):
        return self.layer(x)

def build(width, depth=1):
    return nn.Sequential(*[Net(width) for _ in range(depth)])

small = Net(2)
table = {"a": 1}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = (list(sys.path), dict(sys.modules), Path.cwd(), list(sys.argv), sys.stdout)
    yield
    path, modules, cwd, argv, stdout = before
    assert sys.path == path
    assert sys.argv == argv
    assert sys.stdout is stdout
    assert Path.cwd() == cwd
    assert all(sys.modules.get(name) is module for name, module in modules.items())
    for name in sys.modules.keys() - modules.keys():
        file = getattr(sys.modules[name], "__file__", None) or ""
        assert "pytest" not in file or "site-packages" in file, name


def params(text):
    subject = resolve(text)
    return sum(param.numel() for param in build_skeleton(subject.build).parameters())


def test_a_class_a_function_and_a_model(folder):
    folder(net=NET)
    # A linear layer of width w has w² weights and w biases.
    assert params("net.py:Net") == 20
    assert params("net.py:Net?width=3") == 12
    assert params("net.py:Net?width=3&bias=false") == 9
    assert params("net.py:build?width=3&depth=2") == 24
    assert params("net.py:small") == 6
    assert params("net:Net") == 20
    assert params("./net.py:Net") == 20
    assert params(f"{Path.cwd()}/net.py:Net") == 20
    subject = resolve("net.py:Net?width=3")
    assert (subject.name, subject.spec, subject.source) == ("Net", "net.py:Net?width=3", "file")
    assert subject.inputs is None
    assert not list(Path.cwd().glob("__pycache__"))


def test_no_weights_even_for_a_model_built_on_import(folder):
    folder(net=NET)
    assert next(resolve("net.py:small").build().parameters()).is_meta


def test_the_only_class_needs_no_name(folder):
    folder(net=NET, two="from torch import nn\nclass A(nn.Module): ...\nclass B(nn.Module): ...\n")
    subject = resolve("net.py")
    assert (subject.name, subject.spec) == ("Net", "net.py")
    with pytest.raises(SpecError, match=r"two\.py defines 2 models") as caught:
        resolve("two.py")
    assert "two.py:A, two.py:B" in caught.value.hint


def test_imports_beside_the_file(folder):
    folder(
        code__net="""
            from blocks import Block
            def build():
                from late import WIDTH
                return Block(WIDTH)
            """,
        code__blocks="from torch import nn\nclass Block(nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.n = n\n"
        "    def forward(self, x):\n        import later\n        return x * later.SCALE\n",
        code__late="WIDTH = 7\n",
        code__later="SCALE = 3\n",
    )
    subject = resolve("code/net.py:build")
    model = subject.build()
    assert model.n == 7
    with subject.environment():
        assert model(torch.ones(1)).item() == 3
    with subject.environment():
        assert sys.modules["blocks"].Block is type(model)
    assert "blocks" not in sys.modules


def test_a_module_is_loaded_once(folder):
    folder(
        net="""
            from torch import nn
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    import state
                    state.built = True
                def forward(self, x):
                    import state
                    return x if state.built else None
            """,
        state="built = False\n",
    )
    subject = resolve("net.py:Net")
    # As `analyze` does: the environment is held around building and running.
    with subject.environment():
        model = subject.build()
        assert model(1) == 1
    with subject.environment():
        assert model(1) == 1


def test_a_file_in_a_package(folder):
    folder(
        lib____init__="",
        lib__nets____init__="",
        lib__nets__net="from .blocks import Net\nfrom ..sizes import SIZE\n"
        "def build():\n    return Net(SIZE)\n",
        lib__nets__blocks="from torch.nn import LazyLinear as Net\n",
        lib__sizes="SIZE = 5\n",
    )
    (Path.cwd() / "lib/nets/__init__.py").write_text("", encoding="utf-8")
    (Path.cwd() / "lib/__init__.py").write_text("", encoding="utf-8")
    assert resolve("lib/nets/net.py:build").build().out_features == 5


def test_two_files_of_one_name(folder):
    for name, width in (("one", 2), ("two", 3)):
        folder(
            **{
                f"{name}__net": "import helper\nfrom torch import nn\n"
                "def build():\n    return nn.Linear(helper.WIDTH, 1, bias=False)\n",
                f"{name}__helper": f"WIDTH = {width}\n",
            }
        )
    first, second = resolve("one/net.py:build"), resolve("two/net.py:build")
    assert second.build().in_features == 3
    assert first.build().in_features == 2


def test_a_module_of_the_same_name_from_elsewhere_makes_room(folder, tmp_path):
    folder(
        mine__helper="WIDTH = 2\n",
        elsewhere__helper="WIDTH = 3\n",
        mine__net="""
        import helper
        from torch import nn
        def build():
            return nn.Linear(helper.WIDTH, 1)
    """,
    )
    sys.path.insert(0, str(tmp_path / "elsewhere"))
    try:
        import helper

        assert resolve("mine/net.py:build").build().in_features == 2
        assert sys.modules["helper"] is helper
    finally:
        sys.path.pop(0)
        del sys.modules["helper"]


@pytest.mark.parametrize("name", ["random", "torch", "types", "cnnstat", "queue", "code", "numpy"])
def test_a_file_with_the_name_of_a_library(folder, name):
    folder(**{name: NET})
    assert params(f"{name}.py:Net") == 20
    assert nn.Linear(2, 2).weight.shape == (2, 2)


def test_a_library_imported_by_the_file_stays(folder):
    code = """
import sys
from cnnstat.sources.base import resolve
subject = resolve("net.py:Net")
assert "timm" in sys.modules and "colorsys" in sys.modules and "sibling" not in sys.modules
import timm, torch
from timm.layers import trunc_normal_
assert torch.nn.init.constant_(torch.zeros(2), 3.0).tolist() == [3, 3]
"""
    folder(net="import timm, colorsys, sibling\n" + NET, sibling="")
    run(code)


def test_the_working_directory_may_contain_cnnstat_itself(monkeypatch, tmp_path):
    # As in cnnstat's own checkout: what it imports later must not be loaded twice.
    import cnnstat

    monkeypatch.chdir(Path(cnnstat.__file__).parent.parent)
    assert resolve("cnnstat.zoo.lenet:lenet5").build() is not None
    assert "cnnstat.zoo.lenet" in sys.modules


@pytest.mark.parametrize(
    ("distribution", "told"), [("ours", "ours 1.2"), ("Other-Name", "Other-Name 1.2")]
)
def test_an_installed_package_says_its_version_by_the_name_it_is_installed_under(
    folder, monkeypatch, distribution, told
):
    site = folder(ours__net=NET, ours____init__="") / "site"
    info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("ours\n")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(site)])
        subject = resolve("ours.net:Net")
    assert subject.versions == {"source_package": told}


def test_a_package_of_the_folder_alone_has_no_version(folder):
    folder(ours__net=NET, ours____init__="")
    assert resolve("ours.net:Net").versions == {}
    assert resolve("ours/net.py:Net").versions == {}


class TestErrors:
    def test_in_the_file(self, folder):
        folder(net="import torch\n\nx = 1 / 0\n")
        with pytest.raises(BuildError, match=r"^net\.py:3: ZeroDivisionError: division by zero$"):
            resolve("net.py:Net")

    def test_syntax(self, folder):
        folder(net="import torch\nclass Net(:\n")
        with pytest.raises(BuildError, match=r"^net\.py:2: SyntaxError: "):
            resolve("net.py:Net")

    def test_null_bytes_and_encoding(self, folder):
        folder()
        Path("net.py").write_bytes(b"x = 1\0\n")
        with pytest.raises(BuildError, match=r"^net\.py.*null bytes"):
            resolve("net.py:Net")
        Path("net.py").write_bytes(b"x = '\xff'\n")
        with pytest.raises(BuildError, match=r"^net\.py.*SyntaxError"):
            resolve("net.py:Net")

    def test_a_missing_import(self, folder):
        folder(net="import nothing_of_that_name\n")
        with pytest.raises(BuildError, match=r"^net\.py:1: ModuleNotFoundError: No module named"):
            resolve("net.py:Net")

    def test_exit(self, folder):
        folder(net="import sys\nsys.exit(3)\n")
        with pytest.raises(BuildError, match=r"^net\.py:2: SystemExit: 3$"):
            resolve("net.py:Net")

    def test_the_deepest_line_of_the_users(self, folder):
        folder(
            net="from torch import nn\nfrom parts import part\n"
            "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.part = part()\n",
            parts="from torch import nn\ndef part():\n    return nn.Conv2d(3, 4, 3, groups=2)\n",
        )
        with pytest.raises(BuildError, match=r"^parts\.py:3: ValueError: in_channels must be"):
            resolve("net.py:Net").build()

    def test_a_missing_argument(self, folder):
        folder(net=NET)
        with pytest.raises(BuildError, match=r"net\.py:build needs an argument: width") as caught:
            resolve("net.py:build").build()
        assert "net.py:build?width=…" in caught.value.hint

    def test_a_wrong_argument(self, folder):
        folder(net=NET)
        with pytest.raises(BuildError, match="there is no argument 'widht'") as caught:
            resolve("net.py:Net?widht=3").build()
        assert caught.value.hint == "did you mean 'width'? it takes: width, bias"
        with pytest.raises(BuildError, match="takes no arguments"):
            resolve("net.py:small?width=3").build()

    def test_an_unknown_name(self, folder):
        folder(net=NET)
        with pytest.raises(SpecError, match=r"net\.py has no 'Nett'") as caught:
            resolve("net.py:Nett")
        assert caught.value.hint.startswith("did you mean net.py:Net? it defines Net, small, build")

    def test_no_model(self, folder):
        folder(net=NET + "\ndef pair():\n    return (1, 2)\nclass Plain: ...\n")
        with pytest.raises(SpecError, match=r"net\.py:table is a dict; expected an nn\.Module"):
            resolve("net.py:table")
        with pytest.raises(SpecError, match=r"net\.py:nn is the module 'torch\.nn'"):
            resolve("net.py:nn")
        with pytest.raises(SpecError, match=r"net\.py:Plain is the class 'Plain'"):
            resolve("net.py:Plain")
        with pytest.raises(SpecError, match=r"net\.py:pair returned a tuple"):
            resolve("net.py:pair").build()

    def test_files(self, folder):
        folder(net=NET)
        Path("dir.py").mkdir()
        with pytest.raises(SpecError, match=r"nett\.py does not exist") as caught:
            resolve("nett.py:Net")
        assert "net.py" in caught.value.hint
        with pytest.raises(SpecError, match="is a directory"):
            resolve("dir.py:Net")
        if os.name == "posix" and os.geteuid() != 0:
            Path("net.py").chmod(0)
            with pytest.raises(SpecError, match="cannot be read"):
                resolve("net.py:Net")

    def test_modules(self, folder):
        folder(net="import nothing_of_that_name\n")
        with pytest.raises(SpecError, match="no module named 'nowhere'") as caught:
            resolve("nowhere.nets:Net")
        assert "tv:" in caught.value.hint
        with pytest.raises(BuildError, match=r"net\.py:1: ModuleNotFoundError"):
            resolve("net:Net")
        assert not issubclass(BuildError, SourceUnavailable)


def test_prints_go_to_standard_error(folder, capsys):
    folder(net="print('importing')\n" + NET.replace("super()", "print('building'); super()"))
    resolve("net.py:Net").build()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "importing" in captured.err
    assert "building" in captured.err


def test_declared_inputs(folder):
    folder(
        net=NET.replace(
            "class Net(nn.Module):",
            """class Net(nn.Module):
    example_input_array = (__import__("torch").zeros(2, 4),)
""",
        )
    )
    assert resolve("net.py:Net").inputs == Inputs((InputSpec((2, 4)),))
