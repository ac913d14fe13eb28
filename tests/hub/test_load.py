"""Models of the Hub as they are loaded: what they compute, and what is refused."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from playground.data.hub import UnreachableError
from playground.errors import CheckpointError, ConfigError, DataError
from playground.hub import from_hub, memory
from playground.hub.cache import cached
from playground.hub.fetch import fetch
from playground.hub.load import load, load_pretrained
from playground.hub.plan import plan
from playground.hub.search import search
from tests.smollm import smollm_folder
from tests.tiny_models import TINY, tiny_folder, tiny_tokenizer

NAME = "somebody/tiny-llama"


@pytest.fixture
def folder(llama, tmp_path):
    """A folder of its own, to be damaged."""
    folder = tmp_path / "llama"
    folder.mkdir()
    for name, data in llama.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_model_of_the_hub_computes_what_its_maker_does(hub, llama):
    hub.add(NAME, llama, kind="models")
    model, tokenizer = from_hub(NAME)
    tokens = torch.tensor([[tokenizer.bos_token, *tokenizer.encode("the cat sat")]])
    assert torch.allclose(model.forward(tokens), TINY["llama"]()(tokens).logits, atol=1e-5)
    hub.asked.clear()
    again, _ = from_hub(f"{NAME}@{cached()[0].commit}")
    assert torch.equal(again.forward(tokens), model.forward(tokens))
    assert not hub.asked


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "mamba2", "gpt_neox"])
def test_other_architectures_are_planned_and_loaded_too(name, hub, tmp_path):
    made = tiny_folder(name, tmp_path / name)
    hub.add(f"me/{name}", {p.name: p.read_bytes() for p in made.iterdir()}, kind="models")
    found = plan(f"me/{name}")
    assert found.kind == "causal"
    model, tokenizer = load(fetch(found))
    tokens = torch.tensor([[tokenizer.bos_token, *tokenizer.encode("the dog")]])
    assert torch.allclose(model.forward(tokens), TINY[name]()(tokens).logits, atol=1e-4)


def marian(path, **changes):
    import transformers

    sizes = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 32}
    sizes |= {f"{side}_attention_heads": 4 for side in ("encoder", "decoder")}
    sizes |= {f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")}
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = transformers.MarianConfig(
        vocab_size=320, max_position_embeddings=64, **sizes, **special
    )
    transformers.MarianMTModel(config).save_pretrained(path)
    tiny_tokenizer().save(str(path / "tokenizer.json"))
    config = json.loads((path / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps(config))
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_an_encoder_decoder_is_loaded_with_its_positions_by_sine(hub, tmp_path):
    hub.add("me/marian", marian(tmp_path / "good"), kind="models")
    found = plan("me/marian")
    assert (found.kind, found.architecture) == ("seq2seq", "MarianMTModel")
    model, _ = load(fetch(found))
    assert model.forward(torch.tensor([[0, 5]]), torch.tensor([7, 8, 1])).shape == (1, 2, 320)
    far = marian(tmp_path / "far", max_position_embeddings=2**23)
    hub.add("me/far", far, kind="models")
    with pytest.raises(CheckpointError, match=r"a table of 8,388,608 positions .* is too large"):
        plan("me/far")


def test_weights_in_several_files_are_read(hub, tmp_path):
    made = tmp_path / "sharded"
    TINY["llama"]().save_pretrained(made, max_shard_size="60KB")
    whole = tiny_folder("llama", tmp_path / "whole")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(whole / file, made)
    files = {p.name: p.read_bytes() for p in made.iterdir()}
    assert sum(file.endswith(".safetensors") for file in files) > 2
    hub.add(NAME, files, kind="models")
    model, _ = from_hub(NAME)
    tokens = torch.tensor([[0, 5, 6]])
    assert torch.equal(model.forward(tokens), load(whole)[0].forward(tokens))


def test_a_real_model_is_read_from_its_folder():
    model, tokenizer = load(smollm_folder())
    tokens = torch.tensor([[tokenizer.bos_token, *tokenizer.encode("The capital of France is")]])
    assert tokenizer.decode([int(model.forward(tokens)[0, -1].argmax())]) == " Paris"


def test_the_type_can_be_chosen(folder):
    model, _ = load_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["llama", "gemma3", "mamba2", "gpt_neox"])
def test_no_other_thread_sees_another_default_type_meanwhile(name, tmp_path, monkeypatch):
    set_to = []
    whole = torch.set_default_dtype
    monkeypatch.setattr(
        torch, "set_default_dtype", lambda dtype: (set_to.append(dtype), whole(dtype))
    )
    made = tiny_folder(name, tmp_path / name)
    model, _ = load_pretrained(made, dtype=torch.bfloat16)
    assert set(set_to) == {torch.float32}
    theirs = type(model.inner).from_pretrained(made, dtype=torch.bfloat16).eval()
    assert torch.bfloat16 in set_to  # it would have been
    for mine, wanted in ((model.inner.named_parameters(), theirs.named_parameters()),
                         (model.inner.named_buffers(), theirs.named_buffers())):  # fmt: skip
        kept = {key: value.dtype for key, value in mine}
        assert kept == {key: value.dtype for key, value in wanted}
    tokens = torch.tensor([[1, 5, 6]])
    assert torch.allclose(model.forward(tokens), theirs(tokens).logits.float(), atol=0.05)


def test_a_config_asks_for_no_code_and_no_other_files(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel",
               "transformers_weights": "../evil.safetensors", "fusion_config": {"evil": True},
               "experts_implementation": "evil/kernel"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    model, _ = load(folder)
    assert model.config._attn_implementation == "playground"


def test_memory_is_looked_at_before_weights_are_read(folder, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device="cpu": 1000)
    with pytest.raises(CheckpointError, match=r"The model in llama takes .* of memory"):
        load(folder)


def damage(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("model.norm.weight"), r"1 of its tensors are missing .*model.norm.weight"),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(31)}),
            "(missing or of another shape|do not fit its config)",
        ),
        (lambda t: t["lm_head.weight"][3].fill_(float("nan")), r"lm_head.weight .*no numbers"),
        (lambda t: t["lm_head.weight"][3].fill_(float("inf")), r"lm_head.weight .*no numbers"),
    ],
)
def test_weights_that_are_missing_or_no_numbers_are_told(change, says, folder):
    damage(folder, change)
    with pytest.raises(CheckpointError, match=says):
        load(folder)


def test_a_config_that_was_changed_on_the_disk_runs_nothing(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForCausalLM": "evil.Evil"}, "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('I ran')")
    assert load(folder)[0].vocab_size
    config["num_hidden_layers"] = 10**6
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        load(folder)


def test_a_snapshot_that_is_not_whole_is_not_listed(hub, llama):
    hub.add(NAME, llama, kind="models")
    folder = fetch(plan(NAME))
    [model] = cached()
    assert (model.name, model.kind, model.architecture) == (NAME, "causal", "LlamaForCausalLM")
    (folder / "model.safetensors").resolve().unlink()
    assert cached() == []
    assert load(fetch(plan(NAME)))[0].vocab_size  # and is made whole again


def test_the_last_used_comes_first(hub, llama, tmp_path):
    for name in ("me/one", "me/two"):
        hub.add(name, llama, kind="models")
        fetch(plan(name))
    load(cached()[1].folder)
    last = cached()[0].name
    load(cached()[1].folder)
    assert cached()[1].name == last


def test_the_hub_is_searched_the_most_downloaded_first(hub, llama):
    for i, name in enumerate(["me/llama-a", "me/llama-b", "you/other", "me/llama-c"]):
        hub.add(name, llama, kind="models", downloads=i, gated=name == "me/llama-b")
    hub.add("me/llama-hidden", llama, kind="models", private=True)
    found = search(" llama ", limit=2)
    assert [(model.name, model.downloads, model.gated) for model in found] == [
        ("me/llama-c", 3, False),
        ("me/llama-b", 1, True),
    ]
    assert (found[0].licence, found[0].updated, found[0].parameters) == ("mit", "2026-05-04", 1000)
    assert len(search("")) == 4
    assert search("nothing like it") == []
    with pytest.raises(ConfigError):
        search("llama", limit=1000)


def test_a_search_that_is_not_answered_is_told(hub, monkeypatch):
    from playground.hub import search as searching

    monkeypatch.setattr(searching, "SECONDS", 0.4)
    hub.silent.append("/api/models")
    with pytest.raises(UnreachableError, match=r"cannot be searched now.*can still be used"):
        search("llama")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE"):
        search("llama")
