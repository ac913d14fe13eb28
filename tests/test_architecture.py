"""The import rule of the house, and the rules that keep it readable and safe."""

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

BELOW = {"errors"}
CORE = BELOW | {"traces", "models", "tokenizers"}
MIDDLE = {
    "decoding", "inspection", "evaluation", "compression", "data", "checkpoints", "experiments",
}  # fmt: skip
TOP = {"hub", "registry", "comparison", "devices"}
MAY_IMPORT = {  # layer: layers it may use, besides itself
    "errors": set(),
    "traces": BELOW,
    "models": BELOW,
    "tokenizers": BELOW,
    "decoding": CORE,
    "inspection": CORE | {"decoding"},  # windows are decoding's
    "evaluation": CORE,
    "compression": CORE | {"decoding"},  # windows are decoding's
    "data": CORE,
    "checkpoints": CORE,
    "experiments": BELOW,  # results; what makes them is in train
    "devices": BELOW,
    "votes": BELOW,
    "running": CORE | MIDDLE,  # trainings in processes of their own
    "hub": CORE | MIDDLE | {"devices"},
    "comparison": CORE | MIDDLE | {"hub"},
    "registry": CORE | MIDDLE | {"hub"},
    "commands": CORE | MIDDLE | TOP,
    "command_line": CORE | MIDDLE | TOP | {"commands"},
    "__main__": {"command_line"},
    "ui": CORE | MIDDLE | TOP | {"running", "votes"},
}
SOURCES = [
    p for folder in ("playground", "pages", "train", "bench") for p in (ROOT / folder).rglob("*.py")
]
SOURCES += [ROOT / "app.py"]


def imported(path: Path, top_level_only: bool = False) -> list[str]:
    """Return the dotted names that a module imports, `from a import b` as a.b too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "playground").parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted((ROOT / "playground").rglob("*.py")), ids=name_of)
def test_a_module_imports_only_what_stands_below_it(path):
    layer = layer_of(path)
    if layer == "__init__":
        return
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in {"train", "bench", "pages", "tests"}, f"{name_of(path)}: {name}"
        if parts[0] == "playground" and len(parts) > 1:
            assert parts[1] == layer or parts[1] in MAY_IMPORT[layer], f"{name_of(path)}: {name}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_pages_and_ui_draw(path):
    may_draw = path.parent.name == "pages" or path.name == "app.py" or "ui" in path.parts
    tops = {name.split(".")[0] for name in imported(path)}
    if not may_draw:
        assert not tops & {"streamlit", "altair", "vl_convert"}
    if "ui" not in path.parts:
        assert "altair" not in tops


@pytest.mark.parametrize("folder", ["train", "bench"])
def test_train_and_bench_do_not_use_the_pages(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert not [n for n in imported(path) if n.startswith(("playground.ui", "pages"))]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_unpickles_or_runs_foreign_code(path):
    text = path.read_text(encoding="utf-8")
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    for forbidden in ("torch.load(", "trust_remote_code=True", "allow_pickle=True"):
        assert forbidden not in text
    if "ui" in path.parts or "pages" in path.parts:
        assert "unsafe_allow_html=True" not in text


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_heavy_libraries_are_not_imported_on_the_way_to_the_first_page(path):
    tops = {name.split(".")[0] for name in imported(path, top_level_only=True)}
    assert not tops & {"transformers", "torchaudio"}


def test_torchaudio_is_used_by_the_audio_tokenizer_alone():
    users = [p for p in SOURCES if "torchaudio" in {n.split(".")[0] for n in imported(p)}]
    assert users == [ROOT / "playground" / "tokenizers" / "audio.py"]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_stay_short_enough_to_read(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (120 if path.parent.name == "pages" or path.name == "app.py" else 400)


def test_the_browser_gets_no_markup_from_text():
    for script in (ROOT / "playground" / "ui" / "components").glob("*.js"):
        text = script.read_text(encoding="utf-8")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
        ):
            assert forbidden not in text, script.name
