"""What is said of a model before any of its weights are fetched."""

import json
import os
import struct

import pytest
from huggingface_hub import constants

from playground.errors import CheckpointError, DataError
from playground.hub import memory
from playground.hub import plan as plans
from playground.hub.fetch import fetch
from playground.hub.plan import plan
from tests.helpers import ROOT

NAME = "somebody/tiny-llama"


def config_of(files: dict[str, bytes], **changes) -> dict[str, bytes]:
    """Return the files with another config; a change to None leaves a key out."""
    config = json.loads(files["config.json"]) | changes
    config = {key: value for key, value in config.items() if value is not None}
    return files | {"config.json": json.dumps(config).encode()}


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in names}


def add(hub, files: dict[str, bytes], **more):
    return hub.add(NAME, files, kind="models", **more)


def fetched_bytes(hub) -> list[str]:
    return [line for line in hub.asked if "resolve" in line and "safetensors" in line]


def test_a_plan_says_what_it_takes_before_weights_are_fetched(hub, llama, tmp_path):
    repo = add(hub, llama | {"pytorch_model.bin": b"x" * 10**6, "README.md": b"hello"})
    found = plan(f"hub:{NAME}")
    assert found.repository.commit == repo.commit
    assert (found.kind, found.architecture) == ("causal", "LlamaForCausalLM")
    assert "pytorch_model.bin" not in found.files
    assert found.files[0] == "config.json"
    assert found.files[-1] == "model.safetensors"
    assert found.num_bytes == found.missing_bytes == sum(len(llama[f]) for f in found.files)
    held = sum(len(llama[file]) for file in ("model.safetensors",))
    assert found.parameters * 4 <= held < found.memory_bytes < 1.3 * held
    assert not (tmp_path / "cache").exists()  # nothing was kept


def test_a_revision_is_pinned_to_its_commit(hub, llama):
    repo = add(hub, llama, revisions=("main", "refs/pr/1"))
    assert plan(f"{NAME}@refs/pr/1").address == f"{NAME}@{repo.commit}"
    with pytest.raises(DataError, match="has no revision 'v9'"):
        plan(f"{NAME}@v9")


@pytest.mark.parametrize("address", ["tiny", "a/b/c", "hub:", "https://x/y", "a/b@" + "x" * 300])
def test_names_that_cannot_be_are_refused_unasked(address, hub):
    with pytest.raises(DataError, match="names nothing on the Hub"):
        plan(address)
    assert not hub.asked


def test_what_is_not_there_or_a_data_set_is_told(hub):
    with pytest.raises(DataError, match=r"no model no/such .* private"):
        plan("no/such")
    hub.add("somebody/texts", {"train.parquet": b""})
    with pytest.raises(DataError, match="somebody/texts is a data set on the Hub, not a model"):
        plan("somebody/texts")


def test_private_and_gated_models_open_by_the_standard_token(hub, llama, monkeypatch):
    add(hub, llama, private=True)
    with pytest.raises(DataError, match=r"private .* `hf auth login`"):
        plan(NAME)
    repo = add(hub, llama, gated=True)
    with pytest.raises(DataError, match=r"agreed to its terms.*`hf auth login`"):
        plan(NAME)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert fetch(plan(NAME)).name == repo.commit
    repo.gated, repo.private = False, True
    assert plan(NAME).missing_bytes == 0


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, "agreed to its terms"),
        (429, {}, "answered 429 .*too many requests.*Try again later"),
        (500, {}, "answered 500 .*Try again later"),
        (200, {}, "is not whole"),
    ],
)
def test_what_the_hub_refuses_is_explained(status, headers, says, hub, llama):
    add(hub, llama)
    hub.status["/api/models"] = (status, headers)
    with pytest.raises(DataError, match=says):
        plan(NAME)


def header(**tensors) -> bytes:
    """Return a safetensors file that claims tensors of zeros."""
    start, entries = 0, {}
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(start)


EXPERTS = {  # each of them small, all of them together ten million
    "model_type": "switch_transformers", "is_encoder_decoder": True, "num_experts": 8000,
    "architectures": ["SwitchTransformersForConditionalGeneration"], "num_layers": 20,
    "num_decoder_layers": 20, "num_sparse_encoder_layers": 20, "num_sparse_decoder_layers": 20,
    "d_model": 8, "d_ff": 8, "d_kv": 4, "num_heads": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: without(f, "config.json"), "has no config.json"),
        (lambda f: {"model.gguf": b"GGUF"}, "holds GGUF files"),
        (
            lambda f: without(f, "model.safetensors") | {"pytorch_model.bin": b"\x80"},
            r"only in pytorch_model.bin; .*only safetensors are read.*refs/pr",
        ),
        (lambda f: without(f, "model.safetensors"), "has no model.safetensors"),
        (lambda f: without(f, "tokenizer.json"), "has no tokenizer.json"),
        (
            lambda f: f | {"generation_config.json": b" " * (4 * 2**20 + 1)},
            "generation_config.json is larger than 4 MB",
        ),
        (lambda f: config_of(f, compression_config="x"), "quantised by an unknown method"),
        (lambda f: config_of(f, **EXPERTS), "many more parameters than its weights have tensors"),
        (lambda f: f | {"config.json": b"{" * 2000}, "config.json is not JSON"),
        (lambda f: f | {"config.json": b"[" * 200_000}, "config.json is not JSON"),
        (lambda f: f | {"config.json": b"[1]"}, "is no JSON object"),
        (lambda f: config_of(f, model_type=None), "names no model_type"),
        (lambda f: config_of(f, model_type=["llama"]), "names no model_type"),
        (lambda f: config_of(f, architectures="Llama"), "architectures .* is no list"),
        (lambda f: config_of(f, family="perceptron", model={}, tokenizer={}), "names no family"),
        (
            lambda f: config_of(f, model_type="own", auto_map={"AutoModel": "x.Y"}),
            "is code in the repository, and code from the Hub is never run",
        ),
        (lambda f: config_of(f, model_type="own"), "does not know the architecture 'own'"),
        (
            lambda f: config_of(f, model_type="bert", architectures=["BertForMaskedLM"]),
            "BertForMaskedLM does not write one token after another",
        ),
        (lambda f: config_of(f, vision_config={}), "reads more than text"),
        (
            lambda f: config_of(f, quantization_config={"quant_method": "gptq"}),
            "quantised by gptq",
        ),
        (lambda f: config_of(f, num_hidden_layers=10**6), "num_hidden_layers .* is 1,000,000"),
        (lambda f: config_of(f, vocab_size=10**12), "vocab_size in config.json is 1,000,000,000"),
        (lambda f: config_of(f, hidden_size=2**30), "hidden_size in config.json"),
        (lambda f: config_of(f, num_attention_heads=2**20), "num_attention_heads in config"),
        (lambda f: config_of(f, max_position_embeddings=2**60), "max_position_embeddings"),
        (lambda f: config_of(f, hidden_size="wide"), "describes no model that can be built"),
        (lambda f: config_of(f, hidden_size=-32), "describes no model that can be built"),
        (lambda f: config_of(f, num_attention_heads=0), "describes no model that can be built"),
        (lambda f: config_of(f, hidden_act="os.system"), "describes no model that can be built"),
        (lambda f: config_of(f, rope_parameters=7), "describes no model that can be built"),
        (lambda f: config_of(f, num_hidden_layers=9), "the rest would be made up"),
        (lambda f: config_of(f, extra=list(range(60_000))), "more than 50,000 values"),
        (lambda f: f | {"model.safetensors": b"short"}, "the header of model.safetensors claims"),
        (
            lambda f: f | {"model.safetensors": struct.pack("<Q", 2**62) + b"{}"},
            "the header of model.safetensors claims 4611686018427387904 bytes",
        ),
        (lambda f: f | {"model.safetensors": f["model.safetensors"] + b"0"}, "padded"),
        (lambda f: f | {"model.safetensors": header()}, "hold none"),
        (
            lambda f: f | {"model.safetensors": header(a=("F32", [2**41, 2], 8))},
            "a in model.safetensors has no shape",
        ),
        (
            lambda f: f | {"model.safetensors": header(a=("F8_E4M3", [4, 2], 8))},
            "'F8_E4M3', which is not read: it is quantised",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told_before_it_is_fetched(change, says, hub, llama, tmp_path):
    add(hub, change(llama))
    with pytest.raises(CheckpointError, match=says):
        plan(NAME)
    assert not (tmp_path / "cache").exists()
    assert sum(len(line) for line in fetched_bytes(hub)) < 1000


def test_code_beside_a_known_architecture_is_left_out(hub, llama):
    code = {"AutoModelForCausalLM": "modeling.Evil", "AutoConfig": "modeling.EvilConfig"}
    files = config_of(llama, auto_map=code, custom_generate="modeling.py")
    add(hub, files | {"modeling.py": b"raise SystemExit('I ran')"})
    found = plan(NAME)
    assert "modeling.py" not in found.files
    folder = fetch(found)
    assert not list(folder.rglob("*.py"))
    from playground.hub.load import load

    model, _ = load(folder)
    assert type(model.inner).__module__.startswith("transformers.models.llama")


def sharded(files: dict[str, bytes], *names: str, **more) -> dict[str, bytes]:
    """Return the files with an index that names these shards, each a whole file of weights."""
    index = {"weight_map": {f"tensor{i}": name for i, name in enumerate(names)}} | more
    data = files["model.safetensors"]
    return without(files, "model.safetensors") | {
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{name: data for name in names if ".." not in name},
    }


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["../../../secret.safetensors"], "names '../../../secret.safetensors', which is no"),
        (["/etc/passwd"], "names '/etc/passwd'"),
        (["weights.bin"], "names 'weights.bin', which is no safetensors file"),
        ([f"{i}.safetensors" for i in range(70)], "in 70 files; at most 64"),
        ([], "has no weight_map"),
    ],
)
def test_an_index_names_only_files_of_its_repository(names, says, hub, llama):
    add(hub, sharded(llama, *names))
    with pytest.raises(CheckpointError, match=says):
        plan(NAME)


def test_what_is_larger_than_memory_disk_or_limit_is_told_with_figures(hub, llama, monkeypatch):
    add(hub, llama)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "available", lambda device="cpu": 100_000)
        with pytest.raises(CheckpointError, match=r"takes 0.18 MB of memory \(parameters x bytes"):
            plan(NAME)
    with monkeypatch.context() as patch:
        patch.setenv(plans.LIMIT, "0.0001")
        with pytest.raises(DataError, match=r"0.18 MB; at most 0.10 MB .* \(PLAYGROUND_MAX_DOWN"):
            plan(NAME)
        patch.setenv(plans.LIMIT, "lots")
        with pytest.raises(DataError, match="is 'lots'; it must be a number of GB above 0"):
            plan(NAME)
    with monkeypatch.context() as patch:
        patch.setattr(plans, "SPARE", 2**60)
        with pytest.raises(DataError, match=r"The disk has .* GB free.*0.18 MB.*HF_HOME"):
            plan(NAME)
    assert plan(NAME).missing_bytes


def test_sixteen_bit_weights_are_computed_in_bfloat16_on_a_small_machine(monkeypatch):
    import torch

    assert 0 < memory.total()
    monkeypatch.setattr(memory, "total", lambda: 2 * 10**9)
    monkeypatch.setattr(memory, "available", lambda device="cpu": 1)  # of a busy day: no matter
    assert memory.choose_dtype(10**8, 2 * 10**8)[0] == torch.float32
    assert memory.choose_dtype(3 * 10**8, 6 * 10**8) == (torch.bfloat16, int(6.6 * 10**8))
    assert memory.choose_dtype(3 * 10**8, 12 * 10**8)[0] == torch.float32  # too large, and told


def test_offline_and_without_a_network_what_is_here_is_taken(hub, llama, monkeypatch, soon):
    repo = add(hub, llama)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
            plan(NAME)
    fetch(plan(NAME))
    hub.asked.clear()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert plan(NAME).missing_bytes == 0
    assert not hub.asked
    assert plan(f"{NAME}@{repo.commit}").folder.is_dir()  # for ever the same, so not asked for
    assert not hub.asked
    hub.silent.append("/api/")  # a Hub that takes the question and says nothing
    assert plan(NAME).address == f"{NAME}@{repo.commit}"
    with pytest.raises(DataError, match="cannot be reached"):
        plan("somebody/else")
    hub.silent.clear()
    hub.status["/api/"] = (503, {})
    assert plan(NAME).missing_bytes == 0


def test_a_checkpoint_of_ours_is_known_as_one(hub):
    folder = ROOT / "checkpoints" / "digits-transformer-raster"
    files = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    add(hub, files)
    found = plan(NAME)
    assert (found.kind, found.architecture) == ("playground", "transformer")
    assert found.files == ("config.json", "README.md", "model.safetensors")
