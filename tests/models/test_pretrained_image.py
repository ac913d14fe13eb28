import pytest
import torch

from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import CheckpointError
from playground.hub.load import load
from playground.inspection.attention import HasAttention
from playground.models.conditioned import as_drawn
from playground.models.pretrained_image import pretrained_image
from playground.tokenizers.clusters import ClusterTokenizer
from tests.tiny_imagegpt import N_CLUSTERS, SIDE, clusters, imagegpt_folder, tiny_imagegpt

START = N_CLUSTERS


def test_logits_and_greedy_pictures_are_those_of_transformers():
    inner = tiny_imagegpt()
    model = pretrained_image(inner)
    tokens = torch.randint(0, START, (2, SIDE**2), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = START
    logits = model.forward(tokens)
    told = inner(tokens, output_attentions=True)
    assert logits.shape == (2, SIDE**2, model.vocab_size)
    torch.testing.assert_close(logits[..., :START], told.logits, rtol=1e-4, atol=1e-5)
    assert (logits[..., START] == -torch.inf).all()
    stepped, _ = model.step_every(tokens, model.initial_state(2))
    torch.testing.assert_close(stepped, logits, rtol=1e-4, atol=1e-5)
    assert isinstance(model, HasAttention)
    rows = model.attention_rows(tokens, 30)
    torch.testing.assert_close(rows, torch.stack(told.attentions)[..., 30:, :])

    wanted = inner.generate(
        torch.tensor([[START]]), attention_mask=torch.ones(1, 1), max_length=SIDE**2 + 1,
        do_sample=False,
    )[0].tolist()  # fmt: skip
    tokenizer = ClusterTokenizer(clusters(), SIDE, SIDE)
    stepper = Stepper(
        as_drawn(model, tokenizer.bos_token), "tiny", [tokenizer.bos_token],
        longest=tokenizer.size + 1,
    )  # fmt: skip
    while stepper.step(Lane(Greedy())):
        pass
    assert list(stepper.tokens) == wanted
    assert stepper.has_ended
    assert tokenizer.decode(wanted).shape == (SIDE, SIDE, 3)


def test_a_whole_picture_is_drawn_by_chance_without_a_start_in_it():
    model = pretrained_image(tiny_imagegpt())
    stepper = Stepper(as_drawn(model, START), "tiny", [START], longest=SIDE**2 + 1, seed=3)
    while stepper.step(Lane(seed=3)):
        pass
    assert len(stepper.tokens) == SIDE**2 + 1
    assert START not in stepper.tokens[1:]
    assert len(set(stepper.tokens)) > 5


def test_another_kind_of_model_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    text = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(CheckpointError, match="kind 'gpt2' are not read"):
        pretrained_image(text)
    wide = tiny_imagegpt().__class__(tiny_imagegpt().config)
    wide.lm_head = torch.nn.Linear(32, N_CLUSTERS + 1, bias=False)
    with pytest.raises(CheckpointError, match="must predict one less"):
        pretrained_image(wide)


def test_a_folder_is_loaded_with_its_colours(tmp_path):
    model, tokenizer = load(imagegpt_folder(tmp_path))
    assert tokenizer.to_json() == ClusterTokenizer(clusters(), SIDE, SIDE).to_json()
    tokens = torch.tensor([[START, 3, 4]])
    told = pretrained_image(tiny_imagegpt()).forward(tokens)
    torch.testing.assert_close(model.forward(tokens), told)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json cannot be read"):
        load(tmp_path)
