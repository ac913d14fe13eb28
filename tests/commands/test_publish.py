"""Our checkpoints go to the Hub and come back, with a card whose line of Python loads them."""

import re
import shutil

import pytest
import torch
from huggingface_hub import ModelCard, constants

from playground import checkpoints
from playground.command_line import main
from playground.errors import CheckpointError, DataError
from playground.hub import publish
from playground.hub.publish import card_of, line_for, pull, push
from tests.helpers import ROOT
from tests.hub.conftest import use
from tests.hub_server import serve
from tests.tiny_models import tiny_folder

SHIPPED = ROOT / "checkpoints" / "digits-transformer-raster"
NAME = "somebody/digits"
# The client's way to send a file to the LFS is one that its HTTP library is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve() as server:
        use(monkeypatch, server, tmp_path / "cache")
        monkeypatch.setenv("HF_TOKEN", server.token)
        monkeypatch.setattr(publish, "ROOT", tmp_path)
        yield server


def test_a_checkpoint_goes_to_the_hub_and_comes_back_the_same(hub, tmp_path):
    address = push(SHIPPED, NAME)
    repo = hub.repos["models", NAME]
    assert set(repo.files) == {"config.json", "model.safetensors", "README.md"}
    assert address == f"{NAME}@{repo.commit}"
    folder = pull(address, into=tmp_path / "runs")
    assert folder == tmp_path / "runs" / "digits"
    for file in ("config.json", "model.safetensors"):
        assert (folder / file).read_bytes() == (SHIPPED / file).read_bytes()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits"]


def test_the_line_of_the_card_loads_the_model(hub):
    push(SHIPPED, NAME)
    text = hub.repos["models", NAME].files["README.md"].decode()
    [line] = re.findall(r"```python\n(.+)\n```", text)
    assert line == line_for(NAME)
    names = {}
    exec(line, names)  # the very line that people copy
    ours, _ = checkpoints.load(SHIPPED)
    tokens = torch.tensor([[ours.vocab_size - 1, 3, 2]])
    assert torch.equal(names["model"].forward(tokens), ours.forward(tokens))


def test_the_card_has_what_the_hub_shows_and_keeps_what_was_written(hub):
    push(SHIPPED, NAME)
    data = ModelCard(hub.repos["models", NAME].files["README.md"].decode())
    said = data.data
    assert (said.library_name, said.license) == ("autoregressive-playground", "other")
    assert said.pipeline_tag == "unconditional-image-generation"
    assert {"autoregressive", "transformer"} <= set(said.tags)
    [result] = said.eval_results
    assert (result.metric_name, result.metric_value) == ("bits per dimension", 1.7699)
    assert data.text.strip().startswith((SHIPPED / "README.md").read_text().strip()[:200])


def test_metadata_beside_the_checkpoint_is_kept(hub, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(SHIPPED, folder)
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(
        f"---\nlicense: cc-by-4.0\ntags:\n- mine\nbase_model: me/other\n---\n{text}"
    )
    said = card_of(folder, NAME).data
    assert (said.license, said.base_model) == ("cc-by-4.0", "me/other")
    assert "mine" in said.tags
    assert card_of(folder, NAME, licence="mit").data.license == "mit"
    (folder / "README.md").write_text("---\nlicense: [\n---\n# It")
    with pytest.raises(CheckpointError, match=r"metadata at the head of README.md"):
        card_of(folder, NAME)
    (folder / "README.md").unlink()
    assert line_for(NAME) in card_of(folder, NAME).text


def test_a_private_checkpoint_is_seen_by_its_owner_alone(hub, tmp_path, monkeypatch):
    push(SHIPPED, NAME, private=True)
    assert hub.repos["models", NAME].private
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DataError, match=r"private .*hf auth login"):
        pull(NAME, into=tmp_path / "runs")
    with pytest.raises(DataError, match=r"may not write to .*hf auth login"):
        push(SHIPPED, NAME)
    assert not (tmp_path / "runs").exists()


def test_another_version_is_another_commit_and_another_model_stays(hub, tmp_path):
    first = push(SHIPPED, NAME)
    assert push(SHIPPED.with_name("digits-transformer-spiral"), NAME) != first
    llama = tiny_folder("llama", tmp_path / "llama")
    files = {path.name: path.read_bytes() for path in llama.iterdir()}
    hub.add("me/llama", dict(files), kind="models")
    with pytest.raises(DataError, match="holds another model, which is left as it is"):
        push(SHIPPED, "me/llama")
    assert hub.repos["models", "me/llama"].files == files
    with pytest.raises(CheckpointError, match=r"no checkpoint of this playground.*--model hub:me"):
        pull("me/llama", into=tmp_path / "runs")
    with pytest.raises(CheckpointError, match="names no family"):
        push(llama, "me/new")
    assert ("models", "me/new") not in hub.repos


def test_nothing_is_overwritten_and_names_are_plain(hub, tmp_path):
    push(SHIPPED, NAME)
    runs = tmp_path / "runs"
    (runs / "digits").mkdir(parents=True)
    with pytest.raises(DataError, match=r"here already, .*--name"):
        pull(NAME, into=runs)
    (tmp_path / "checkpoints" / "shipped").mkdir(parents=True)
    with pytest.raises(DataError, match="here already"):
        pull(NAME, name="shipped", into=runs)
    for name in ("../out", "a/b", ".hidden", "x" * 65, "-flag"):
        with pytest.raises(DataError, match="cannot name a folder"):
            pull(NAME, name=name, into=runs)
    for name in ("digits", "a/b/c", "../x/y", "me/--"):
        with pytest.raises(DataError, match="is no name on the Hub"):
            push(SHIPPED, name)
    assert pull(NAME, name="other", into=runs).name == "other"


def test_a_damaged_checkpoint_leaves_nothing_here(hub, tmp_path):
    push(SHIPPED, NAME)
    repo = hub.repos["models", NAME]
    repo.files["config.json"] = repo.files["config.json"].replace(b'"n_embd"', b'"n_embed"')
    with pytest.raises(CheckpointError):
        pull(NAME, into=tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("part", "status", "says"),
    [
        ("/api/repos/create", 403, "may not write to somebody/digits"),
        ("/api/repos/create", 500, "Nothing was published. .* answered 500"),
        ("/lfs-store/", 400, "Nothing was published"),
        ("/commit/", 403, "may not write to somebody/digits"),
    ],
)
def test_what_the_hub_refuses_is_explained(part, status, says, hub):
    hub.status[part] = (status, {})
    with pytest.raises(DataError, match=says):
        push(SHIPPED, NAME)


def test_the_command_line_pushes_pulls_and_decodes(hub, capsys, tmp_path, monkeypatch):
    assert main(["push", SHIPPED.name, NAME]) == 0
    assert line_for(NAME) in capsys.readouterr().out
    assert main(["pull", NAME, "--name", "mine"]) == 0
    assert (tmp_path / "runs" / "mine" / "model.safetensors").is_file()
    assert main(["pull", NAME, "--name", "mine"]) == 2
    assert "here already" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = tiny_folder("gpt2", tmp_path / "gpt2")
    hub.add("me/gpt2", {p.name: p.read_bytes() for p in folder.iterdir()}, kind="models")
    flags = ["--model", "hub:me/gpt2", "--prompt", "the cat", "--max-new-tokens", "5"]
    assert main(["decode", *flags, "--strategy", "greedy", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["decode", "--model", "hub:me/none", "--device", "cpu"]) == 2
    assert "There is no model me/none" in capsys.readouterr().err
