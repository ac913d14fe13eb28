"""A second thread for the rows of a batch changes the time, never a bit."""

import threading

import pytest
import torch

from playground.models import sharing
from playground.models.sharing import set_kernel_threads
from playground.models.transformer_kernel import transformer_helper
from tests.helpers import random_tokens, transformer


@pytest.fixture
def kernel_threads():
    before = set_kernel_threads(2)
    yield set_kernel_threads
    set_kernel_threads(before)


def steps(model, rows: int, length: int = 6) -> list[torch.Tensor]:
    state = model.initial_state(rows)
    found = []
    for i in range(length):
        logits, state = model.step(random_tokens(rows, 1 + i % 3, seed=i), state)
        found.append(logits)
    return found


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9, 17, 33])
def test_two_threads_give_the_bits_of_one(kernel_threads, rows):
    model = transformer(n_embd=48)
    shared = [logits.clone() for _ in range(5) for logits in steps(model, rows)]
    kernel_threads(1)
    alone = [logits.clone() for _ in range(5) for logits in steps(model, rows)]
    assert all(torch.equal(a, b) for a, b in zip(shared, alone, strict=True))


def test_sessions_that_compute_at_once_do_not_mix(kernel_threads):
    models = [transformer(n_embd=24 * (1 + i % 2)) for i in range(4)]
    expected = [steps(model, 8) for model in models]
    problems = []

    def session(model, wanted):
        for _ in range(30):
            got = steps(model, 8)
            problems.extend(1 for a, b in zip(got, wanted, strict=True) if not torch.equal(a, b))

    threads = [
        threading.Thread(target=session, args=pair) for pair in zip(models, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_an_unknown_token_in_any_piece_is_refused(kernel_threads):
    model = transformer()
    for row in range(8):
        tokens = random_tokens(8, 1)
        tokens[row] = 10**6
        with pytest.raises(IndexError, match="tokens must be from 0"):
            model.step(tokens, model.initial_state(8))
    assert torch.isfinite(model.step(random_tokens(8, 1), model.initial_state(8))[0]).all()


def test_the_helper_sleeps_when_nothing_comes(kernel_threads):
    model = transformer()
    steps(model, 8)
    mailbox = sharing._helpers[transformer_helper].mailbox
    deadline = threading.Event()
    for _ in range(200):
        if not mailbox[sharing.AWAKE]:
            break
        deadline.wait(0.02)
    assert not mailbox[sharing.AWAKE]
    steps(model, 8)  # and works again


def test_the_number_of_threads_is_bounded(kernel_threads):
    assert kernel_threads(99) == 2
    assert kernel_threads(0) == 2
    assert kernel_threads(2) == 1
