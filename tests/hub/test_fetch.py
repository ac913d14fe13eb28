"""Downloads that are cut off, stopped, wrong or too large, and what is in the cache after them."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import threading

import pytest
from huggingface_hub import constants, hf_hub_download, scan_cache_dir

from playground.errors import DataError
from playground.hub import fetch as fetching
from playground.hub.cache import cached
from playground.hub.fetch import StoppedError, fetch
from playground.hub.plan import plan
from tests.helpers import ROOT
from tests.hub_server import Hub

NAME = "somebody/tiny-llama"
WEIGHTS = "model.safetensors"
ELSEWHERE = f"""
from playground.data.hub import find
from playground.errors import DataError
from playground.hub.fetch import fetch
from playground.hub.plan import Plan
held = find("model", {NAME!r})
total = sum(held.sizes.values())
found = Plan(held, "", "causal", tuple(sorted(held.sizes)), total, 0, total, 0, None)
"""  # in another process, which need not look at the model a second time


def add(hub: Hub, files: dict[str, bytes], **more):
    return hub.add(NAME, files, kind="models", **more)


def asked_for_weights(hub: Hub) -> int:
    return sum(WEIGHTS in line for line in hub.asked)


def parts(hub_cache: str) -> list[int]:
    """Return the sizes of the files that are half here."""
    from pathlib import Path

    return [path.stat().st_size for path in Path(hub_cache).rglob("*.incomplete")]


def test_a_model_is_fetched_with_progress_into_the_cache_of_all_tools(hub, llama):
    repo = add(hub, llama | {"other.bin": b"0"})
    told = []
    found = plan(NAME)
    folder = fetch(found, lambda done, total: told.append((done, total)))
    assert {path.name for path in folder.iterdir()} == set(found.files)
    assert all((folder / file).read_bytes() == llama[file] for file in found.files)
    assert told[-1] == (found.num_bytes, found.num_bytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    hub.asked.clear()
    assert hf_hub_download(NAME, WEIGHTS, revision=repo.commit) == str(folder / WEIGHTS)
    assert not hub.asked  # the client itself finds it
    [known] = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert known.repo_id == NAME
    assert known.refs["main"].commit_hash == repo.commit
    assert known.size_on_disk == found.num_bytes
    assert [model.address for model in cached()] == [f"{NAME}@{repo.commit}"]
    assert cached()[0].num_bytes == found.num_bytes


def test_what_is_here_is_not_fetched_again(hub, llama):
    repo = add(hub, llama)
    fetch(plan(NAME))
    repo.files["config.json"] += b" "  # a new commit, the same weights
    before = asked_for_weights(hub)
    found = plan(NAME)
    assert found.missing_bytes == len(repo.files["config.json"])
    folder = fetch(found)
    assert asked_for_weights(hub) == before + 2  # the header, to plan by
    assert (folder / WEIGHTS).read_bytes() == llama[WEIGHTS]
    assert len(cached()) == 2


def test_a_download_that_is_cut_off_goes_on_where_it_was(hub, llama, soon):
    add(hub, llama)
    found = plan(NAME)
    hub.cut += [(WEIGHTS, 100_000), (WEIGHTS, 20_000)]
    hub.asked.clear()
    folder = fetch(found)
    assert (folder / WEIGHTS).read_bytes() == llama[WEIGHTS]
    assert asked_for_weights(hub) == 3


def test_what_a_killed_process_has_received_is_kept_and_used_by_the_next(hub, llama, tmp_path):
    add(hub, llama)
    half = len(llama[WEIGHTS]) // 2
    script = ELSEWHERE + (
        f"import os\ndef tell(done, total):\n    if done > {half}: os.kill(os.getpid(), 9)\n"
        "fetch(found, tell)\n"
    )
    hub.slow[WEIGHTS] = (half + 10_000, 0.2)
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    env["HF_HUB_CACHE"] = constants.HF_HUB_CACHE
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, timeout=240, check=False
    )
    assert process.returncode == -9
    [kept] = parts(constants.HF_HUB_CACHE)
    assert kept >= half - 30_000
    assert cached() == []
    hub.slow.clear()
    hub.told.clear()
    found = plan(NAME)
    assert found.missing_bytes < found.num_bytes - kept
    assert (fetch(found) / WEIGHTS).read_bytes() == llama[WEIGHTS]
    assert parts(constants.HF_HUB_CACHE) == []


def test_a_download_can_be_stopped_and_goes_on_later(hub, llama):
    add(hub, llama)
    hub.slow[WEIGHTS] = (40_000, 0.1)
    told = []
    with pytest.raises(StoppedError, match="goes on from there"):
        fetch(
            plan(NAME), lambda *here: told.append(here), lambda: bool(told) and told[-1][0] > 10**5
        )
    [kept] = parts(constants.HF_HUB_CACHE)
    assert 0 < kept < len(llama[WEIGHTS])
    hub.slow.clear()
    assert (fetch(plan(NAME)) / WEIGHTS).read_bytes() == llama[WEIGHTS]


def test_a_hub_that_goes_silent_is_given_up(hub, llama, soon):
    add(hub, llama)
    found = plan(NAME)
    hub.cut.append((WEIGHTS, 130_000))
    hub.slow[WEIGHTS] = (1, 60.0)
    with pytest.raises(DataError, match=r"no byte in 0.6 seconds.*0.1 of 0.2 MB are kept"):
        fetch(found, stopped=lambda: hub.cut == [] and hub.silent.append(WEIGHTS))
    assert parts(constants.HF_HUB_CACHE)[0] >= 130_000
    hub.slow.clear()
    hub.silent.clear()
    hub.status[WEIGHTS] = (503, {})
    with pytest.raises(DataError, match="the Hub answers 503"):
        fetch(found)
    hub.status[WEIGHTS] = (429, {})
    with pytest.raises(DataError, match="too many requests"):
        fetch(found)
    hub.status.clear()
    assert (fetch(found) / WEIGHTS).read_bytes() == llama[WEIGHTS]


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json"])
def test_what_has_another_hash_is_removed_and_told(file, hub, llama):
    repo = add(hub, llama)
    found = plan(NAME)
    data = bytearray(llama[file])
    data[-1] ^= 1
    repo.sent[file] = bytes(data)
    with pytest.raises(DataError, match=f"{file} has another hash than the Hub lists"):
        fetch(found)
    assert parts(constants.HF_HUB_CACHE) == []
    assert cached() == []
    repo.sent.clear()
    assert (fetch(plan(NAME)) / file).read_bytes() == llama[file]


@pytest.mark.parametrize("length", [-1000, 1000])
def test_what_has_another_size_is_told(length, hub, llama, soon):
    repo = add(hub, llama)
    found = plan(NAME)
    data = llama[WEIGHTS]
    repo.sent[WEIGHTS] = data[:length] if length < 0 else data + bytes(length)
    if length > 0:  # what is asked for in parts is cut to size, so the whole is right
        assert (fetch(found) / WEIGHTS).read_bytes() == data
        return
    with pytest.raises(DataError, match="stopped arriving"):
        fetch(found)
    assert cached() == []


def test_half_a_file_that_is_not_its_beginning_is_fetched_anew(hub, llama):
    add(hub, llama)
    found = plan(NAME)
    digest = hashlib.sha256(llama[WEIGHTS]).hexdigest()
    blob = fetching.cache.blob_of(NAME, digest)
    blob.parent.mkdir(parents=True)
    fetching.cache.part_of(blob).write_bytes(b"rubbish" * 10)
    with pytest.raises(DataError, match="another hash"):
        fetch(found)
    assert (fetch(found) / WEIGHTS).read_bytes() == llama[WEIGHTS]


def test_a_repository_without_hashes_is_not_fetched(hub, llama):
    add(hub, llama)
    found = plan(NAME)
    found.repository.hashes[WEIGHTS] = "../../../evil"
    with pytest.raises(DataError, match="no hash"):
        fetch(found)
    assert cached() == []


def test_a_full_disk_is_told_and_leaves_nothing_half_written(hub, llama, monkeypatch):
    add(hub, llama)
    found = plan(NAME)

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 50_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def opened(path, mode="r", *args, **kwargs):
        if str(path).endswith(".incomplete") and "+" in mode:
            return io.BufferedRandom(Full(path, mode.replace("b", "")))
        return open(path, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "open", opened, raising=False)
        with pytest.raises(DataError, match=r"The disk is full: model.safetensors .*HF_HOME"):
            fetch(found)
    assert parts(constants.HF_HUB_CACHE) == []
    assert cached() == []
    assert (fetch(plan(NAME)) / WEIGHTS).read_bytes() == llama[WEIGHTS]


def test_a_process_that_may_not_write_so_much_is_told(hub, llama, tmp_path):
    add(hub, llama)
    script = ELSEWHERE + (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    fetch(found)\nexcept DataError as error:\n    print(error)\n"
    )
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    env["HF_HUB_CACHE"] = constants.HF_HUB_CACHE
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, timeout=240,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "The disk is full" in process.stdout, process.stderr
    assert parts(constants.HF_HUB_CACHE) == []


def test_several_that_want_the_same_fetch_it_once(hub, llama):
    add(hub, llama)
    found = plan(NAME)
    hub.slow[WEIGHTS] = (60_000, 0.1)
    hub.asked.clear()
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch(found))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [found.folder] * 8
    assert asked_for_weights(hub) == 1


def test_a_cache_that_cannot_be_written_is_told(hub, llama, tmp_path, monkeypatch):
    add(hub, llama)
    found = plan(NAME)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be written .*HF_HOME"):
        fetch(found)


def test_a_token_is_not_passed_on_to_where_the_bytes_are(hub, llama, monkeypatch):
    from tests.hub_server import serve

    add(hub, llama)
    with serve() as store:  # another machine, as the client sees it: another port
        store.add(NAME, llama, kind="models")
        found = plan(NAME)
        target = f"{store.url}/{NAME}/resolve/{found.repository.commit}/{WEIGHTS}"
        hub.status[WEIGHTS] = (302, {"Location": target})
        monkeypatch.setenv("HF_TOKEN", hub.token)
        assert (fetch(found) / WEIGHTS).read_bytes() == llama[WEIGHTS]
        assert [authorization for _, authorization in store.told] == [""]
    assert any(hub.token in authorization for _, authorization in hub.told)
