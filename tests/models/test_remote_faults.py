"""What goes wrong with a server of a model: every fault is told, and leaves nothing behind."""

import threading

import pytest

from playground.decoding.lane import Lane
from playground.decoding.strategies import Greedy
from playground.errors import (
    ConfigError,
    RemoteError,
)
from playground.models.remote import RemoteModel
from playground.models.remote_client import BrokenError, RemoteSettings, StoppedError, stoppable
from playground.models.remote_name import model_name
from tests.remote_server import free_port, shaped_server, stepper

GREEDY = Lane(Greedy())


def cut_off(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def too_large(handler) -> None:
    handler.send_response(200)
    handler.send_header("Connection", "close")  # without a length
    handler.end_headers()
    handler.close_connection = True
    try:
        for _ in range(64):
            handler.wfile.write(b" " * 65536)
    except OSError:
        pass  # nobody reads on


def says(data, status: int = 200, **headers):
    return lambda handler: handler.answer(data, status, **headers)


def told(top) -> dict:
    return {"choices": [{"logprobs": {"top_logprobs": [top]}}]}


FAULTS = {
    "401": (says({"error": {"message": "bad key"}}, 401), "PLAYGROUND_REMOTE_KEY"),
    "404": (says({}, 404), "no such model"),
    "429": (says({}, 429, Retry_After="7"), "in 7 s"),
    "500": (says({"error": {"message": "out of\n memory"}}, 500), "says: out of memory"),
    "503": (says({"error": {"message": "Loading model"}}, 503), "Loading model"),
    "redirection": (says({}, 302, Location="http://169.254.169.254/"), "not followed"),
    "no JSON": (says(b"<html>"), "no JSON"),
    "deep": (says(b"[" * 100_000), "no JSON"),
    "no HTTP": (lambda handler: handler.wfile.write(b"hello\r\n\r\n"), "broke off"),
    "cut off": (cut_off, "broke off"),
    "too large": (too_large, "larger than"),
    "a list": (says([1, 2]), "does not hold"),
    "no log p": (says({"choices": [{"text": " w1", "logprobs": None}]}), "does not hold"),
    "nothing listed": (says(told({})), "does not hold"),
    "not a number": (says(told({" w1": "high"})), "does not hold"),
    "NaN": (says(b'{"choices":[{"logprobs":{"top_logprobs":[{"a":NaN}]}}]}'), "does not hold"),
    "too likely": (says(told({" w1": -0.1, " w2": -0.2})), "add up to"),
    "a long token": (says(told({"w" * 5000: -0.1})), "5000 bytes"),
}


@pytest.fixture(scope="module")
def toy():
    with shaped_server("openai") as server:
        yield server, RemoteModel.connect(RemoteSettings(server.url), most_bytes=2**20)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_told_and_leaves_nothing_behind(fault, toy):
    (server, model), (answer, message) = toy, FAULTS[fault]
    number = list(FAULTS).index(fault)
    own = stepper(model, f" w{1 + number % 11} w{1 + number // 11}")  # that nobody has asked about
    own.step(GREEDY)
    own.peek(GREEDY)
    own.step(GREEDY)
    before = own.tokens
    server.next.append(answer)
    with pytest.raises(RemoteError, match=message) as caught:
        own.step(GREEDY)
    assert server.url not in str(caught.value)  # where it is, is no visitor's business
    assert own.tokens == before
    assert own.step(GREEDY)  # the next click finds it well
    assert len(own.tokens) == len(before) + 1


def test_a_slow_server_is_given_up_however_it_trickles():
    def trickle(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while not done.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            done.set()  # nobody reads on

    done = threading.Event()
    with shaped_server("openai") as server:
        model = RemoteModel.connect(RemoteSettings(server.url), connect_s=0.2, read_s=0.3)
        own = stepper(model, " w3")
        for fault in (hang_until(server.hung_up), trickle):
            server.next.append(fault)
            own.switch("branch 1")
            with pytest.raises(BrokenError, match="did not answer within"):
                own.run_ahead(GREEDY, 2)
        assert server.hung_up.wait(10)  # both connections were closed
        assert done.wait(10)
        assert own.run_ahead(GREEDY, 2) == 2


def hang_until(closed: threading.Event):
    def hang(handler) -> None:
        if handler.connection.recv(1) == b"":
            closed.set()
        handler.close_connection = True

    return hang


def test_a_wait_can_be_stopped_and_closes_the_connection():
    with shaped_server("openai") as server:
        own = stepper(RemoteModel.connect(RemoteSettings(server.url)), " w3")
        server.next.append(hang_until(server.hung_up))
        inside = []

        def stopped(waited_s: float) -> bool:
            inside.append(waited_s)
            return server.count() > 0 and not server.next  # it is at work

        with stoppable(stopped), pytest.raises(StoppedError, match="stopped"):
            own.run_ahead(GREEDY, 2)
        assert server.hung_up.wait(10)
        assert inside
        assert own.run_ahead(GREEDY, 2) == 2


def test_a_name_that_the_server_does_not_have_and_no_server_at_all():
    with shaped_server("openai") as server:
        with pytest.raises(ConfigError, match="toy"):
            RemoteModel.connect(RemoteSettings(server.url, model="other"))
        assert model_name(RemoteSettings(server.url)) == "toy"
    gone = RemoteSettings(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BrokenError, match="cannot be reached"):
        RemoteModel.connect(gone)
    assert model_name(gone) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", "ftp://host/v1"),
        ("URL", "http://"),
        ("URL", "http://user:secret@host/"),
        ("URL", "http://host/?a=b"),
        ("URL", "http://host:99999/"),
        ("URL", "http://ho st/"),
        ("KEY", "two\nlines"),
        ("TOP", "many"),
        ("TOP", "0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(name, value):
    environ = {"PLAYGROUND_REMOTE_URL": "http://host", f"PLAYGROUND_REMOTE_{name}": value}
    with pytest.raises(ConfigError, match=f"PLAYGROUND_REMOTE_{name}") as caught:
        RemoteSettings.read(environ)
    assert "secret" not in str(caught.value)


def test_settings_come_from_the_environment_and_hide_the_key():
    assert RemoteSettings.read({}) is None
    environ = {"PLAYGROUND_REMOTE_URL": " http://host:1/api/v1/ ", "PLAYGROUND_REMOTE_KEY": "k3y"}
    settings = RemoteSettings.read(environ)
    assert settings.url == "http://host:1/api"
    assert settings.key == "k3y"
    assert "k3y" not in repr(settings)
