"""Pictures from the Hugging Face Hub: the real client against a small Hub on this machine."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from PIL import Image

from playground.checkpoints import load
from playground.data import parquet
from playground.data.hub import download, find, parse_address
from playground.data.images import load_pictures
from playground.errors import DataError
from tests.helpers import ROOT
from tests.hub_server import serve

NAME = "somebody/garments"
TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"
CLASS_LABEL = {"names": ["hat", "shoe"], "_type": "ClassLabel"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve() as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as all other tests are
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server


def picture(seed: int, size=(6, 5), mode: str = "L") -> bytes:
    shape = (size[1], size[0], 3) if mode == "RGB" else size[::-1]
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rows(count: int, seed: int = 0, **columns) -> dict[str, list]:
    images = [{"bytes": picture(seed + i), "path": f"{i}.png"} for i in range(count)]
    return {"image": images, "label": [i % 2 for i in range(count)]} | columns


def table(columns: dict[str, list], features: dict | None = None) -> bytes:
    """Return a parquet file as the library `datasets` writes it."""
    data = pa.table(columns)
    if features is not None:
        info = json.dumps({"info": {"features": features}})
        data = data.replace_schema_metadata({"huggingface": info})
    file = io.BytesIO()
    pq.write_table(data, file, row_group_size=7)
    return file.getvalue()


IMAGE_FEATURES = {"image": {"_type": "Image"}, "label": CLASS_LABEL}


def garments(**more) -> dict[str, bytes]:
    return {
        TRAIN: table(rows(20), IMAGE_FEATURES),
        TEST: table(rows(6, seed=100), IMAGE_FEATURES),
        "README.md": b"---\nlicense: mit\n---\n",
    } | more


def test_pictures_come_with_classes_licence_and_the_split_of_the_data_set(hub):
    repo = hub.add(NAME, garments(), card={"license": "mit"})
    pictures = load_pictures(f"hub:{NAME}")
    assert pictures.train.shape == (20, 5, 6, 1)
    assert pictures.test.shape == (6, 5, 6, 1)
    with Image.open(io.BytesIO(picture(103))) as image:
        assert np.array_equal(pictures.test[3, :, :, 0], np.asarray(image))
    assert pictures.classes == ("hat", "shoe")
    assert pictures.train_labels.tolist() == [0, 1] * 10
    assert pictures.split == "the split test of the data set"
    assert pictures.licence == "mit"
    assert pictures.source == f"hub:{NAME}@{repo.commit}"
    assert not [line for line in hub.asked if "README" in line]


def test_pictures_are_made_the_size_and_kind_that_is_asked_for(hub):
    hub.add(NAME, {"train.parquet": table(rows(20))})
    small = load_pictures(f"hub:{NAME}", size=4, channels=3)
    assert small.train.shape == (18, 4, 4, 3)
    assert small.test.shape == (2, 4, 4, 3)
    assert small.split == "every tenth picture"
    assert small.classes == ("0", "1")  # without names
    large = [{"bytes": picture(i, (90, 70), "RGB"), "path": None} for i in range(20)]
    hub.add(NAME, {"train.parquet": table({"img": large})})
    pictures = load_pictures(f"hub:{NAME}")
    assert pictures.train.shape == (18, 32, 32, 3)
    assert pictures.classes == ()


@pytest.mark.parametrize("listed", [["hat", "shoe"], {"0": "hat", "1": "shoe"}])
def test_the_readme_may_name_the_classes_and_the_files_of_each_split(hub, listed):
    label = {"name": "kind", "dtype": {"class_label": {"names": listed}}}
    card = {
        "dataset_info": {"features": [{"name": "image", "dtype": "image"}, label]},
        "configs": [
            {"config_name": "other", "data_files": "b/*"},
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": ["a/one-*", "a/two.parquet"]},
                    {"split": "validation", "path": "a/three.parquet"},
                ],
            },
        ],
    }
    flat = {"image": [picture(i) for i in range(12)], "kind": [i % 2 for i in range(12)]}
    parts = ("a/one-1", "a/one-2", "a/two", "a/three", "b/four")
    hub.add(NAME, {f"{part}.parquet": table(flat) for part in parts}, card=card)
    pictures = load_pictures(f"hub:{NAME}")
    assert len(pictures.train) == 36
    assert len(pictures.test) == 12
    assert pictures.classes == ("hat", "shoe")
    assert "validation" in pictures.split
    assert not [line for line in hub.asked if "four" in line]


@pytest.mark.parametrize("label", [-1, None, 5000, 2**64 - 1])
def test_labels_that_name_no_class_leave_no_classes(label, hub):
    kind = pa.uint64() if label == 2**64 - 1 else pa.int64()
    labels = pa.array([label] * 6, kind)
    hub.add(NAME, garments() | {TEST: table(rows(6, label=labels), IMAGE_FEATURES)})
    pictures = load_pictures(f"hub:{NAME}")
    assert pictures.classes == ()
    assert not pictures.train_labels.any()


def test_a_revision_is_asked_for_and_kept(hub):
    hub.add(NAME, garments(), revisions=("main", "refs/convert/parquet"))
    assert len(load_pictures(f"hub:{NAME}@refs/convert/parquet").train) == 20
    with pytest.raises(DataError, match="has no revision 'v9'"):
        load_pictures(f"hub:{NAME}@v9")


def test_what_is_here_is_not_fetched_again(hub):
    hub.add(NAME, garments())
    load_pictures(f"hub:{NAME}")
    hub.asked.clear()
    load_pictures(f"hub:{NAME}")
    assert len(hub.asked) == 1  # what the repository holds now


@pytest.mark.parametrize(
    "address", ["hub:", "hub:mnist", "hub:a/b/c", "hub:../b", "hub:a/b?x", "hub:a/b@" + "x" * 300]
)
def test_addresses_that_cannot_be_are_refused_unasked(address, hub):
    with pytest.raises(DataError, match="Write hub:owner/name"):
        load_pictures(address)
    assert not hub.asked
    assert parse_address("hub:a/b@refs/pr/1") == ("a/b", "refs/pr/1")


@pytest.mark.parametrize(
    ("part", "status", "headers", "says"),
    [
        ("/api/", 404, {"X-Error-Code": "RepoNotFound"}, "There is no data set .* private"),
        ("/api/", 401, {}, r"answer 401.*hf auth login"),
        ("/api/", 403, {"X-Error-Code": "GatedRepo"}, "agreed to its terms"),
        ("/api/", 500, {}, "answered 500 .* Try again later"),
        ("/api/", 200, {}, "is not whole"),
        ("/resolve/", 401, {"X-Error-Code": "GatedRepo"}, "agreed to its terms"),
        ("/resolve/", 404, {"X-Error-Code": "EntryNotFound"}, "answer 404"),
    ],
)
def test_what_the_hub_refuses_is_explained(part, status, headers, says, hub):
    hub.add(NAME, garments())
    hub.status[part] = (status, headers)
    with pytest.raises(DataError, match=says):
        load_pictures(f"hub:{NAME}")


def test_a_name_that_is_not_there_is_explained(hub):
    with pytest.raises(DataError, match="There is no data set no/such"):
        load_pictures("hub:no/such")


def test_offline_mode_and_no_network_are_explained(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        load_pictures(f"hub:{NAME}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot be reached.*Check the network"):
        load_pictures(f"hub:{NAME}")


def test_a_download_that_is_cut_off_goes_on_where_it_was(hub):
    hub.add(NAME, garments())
    hub.cut.append((TRAIN, 100))
    assert len(load_pictures(f"hub:{NAME}").train) == 20
    assert sum(TRAIN in line and line.startswith("GET") for line in hub.asked) == 2


def test_a_download_that_stays_cut_off_is_explained(hub):
    hub.add(NAME, garments())
    hub.cut += [(TRAIN, 0)] * 10
    with pytest.raises(DataError, match="cannot be reached"):
        load_pictures(f"hub:{NAME}")


def test_sizes_are_looked_at_before_anything_is_fetched(hub, monkeypatch):
    repo = hub.add(NAME, garments(), sizes={TRAIN: 2**31})
    with pytest.raises(DataError, match=r"have 2,048 MB; at most 1,024 MB are fetched"):
        load_pictures(f"hub:{NAME}")
    repo.sizes[TRAIN] = None
    with pytest.raises(DataError, match="does not say how large"):
        load_pictures(f"hub:{NAME}")
    repo.sizes[TRAIN] = 5
    monkeypatch.setattr(parquet, "MAX_DOWNLOAD_BYTES", 10**6)
    with pytest.raises(DataError, match="listed are 5"):
        load_pictures(f"hub:{NAME}")
    assert sum("resolve" in line and line.startswith("GET") for line in hub.asked) == 1


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("MAX_PICTURES", 25, "has 26 pictures; at most 25"),
        ("MAX_PIXEL_BYTES", 700, "are kept. Ask for smaller ones with --size"),
    ],
)
def test_pictures_are_counted_before_they_are_decoded(limit, value, says, hub, monkeypatch):
    hub.add(NAME, garments())
    monkeypatch.setattr(parquet, limit, value)
    with pytest.raises(DataError, match=says):
        load_pictures(f"hub:{NAME}")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"train.csv": b"a,b"}, "no parquet files, and its code is not run.*refs/convert/parquet"),
        ({"train.parquet": table({"text": ["a"] * 20})}, r"no column of pictures, only text"),
        ({"train.parquet": b"PAR1 no parquet"}, "is no parquet file, or damaged"),
        ({"train.parquet": table(rows(20))[:-30]}, "is no parquet file, or damaged"),
        ({"train.parquet": table(rows(5))}, "has 5 readable pictures to train on"),
        (
            {"train.parquet": table({"image": [{"bytes": b"text", "path": "/etc/passwd"}] * 20})},
            "0 readable .* could not be read: row 0 of train.parquet: The file is not a picture",
        ),
        (
            {"train.parquet": table({"image": [{"bytes": None, "path": "/etc/passwd"}] * 20})},
            "no column of pictures|The file is empty",
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_data_sets_that_cannot_be_read_say_why(files, says, hub):
    hub.add(NAME, files)
    with pytest.raises(DataError, match=says):
        load_pictures(f"hub:{NAME}")


def test_a_name_is_told_as_it_is_written(hub):
    hub.add("Some-Body/FashionMNIST", {"train.csv": b"a,b"})
    with pytest.raises(DataError, match=r"^The data set Some-Body/FashionMNIST has no parquet"):
        load_pictures("hub:Some-Body/FashionMNIST")


def test_a_damaged_page_is_explained(hub):
    data = bytearray(table(rows(20)))
    data[200:1500] = bytes(1300)
    hub.add(NAME, {"train.parquet": bytes(data)})
    with pytest.raises(DataError, match=r"train.parquet is no parquet file, or damaged"):
        load_pictures(f"hub:{NAME}")


def test_a_bad_picture_is_left_out_and_counted(hub):
    columns = rows(20)
    columns["image"][3]["bytes"] = b"text"
    hub.add(NAME, garments() | {TRAIN: table(columns, IMAGE_FEATURES)})
    pictures = load_pictures(f"hub:{NAME}")
    assert len(pictures.train) == len(pictures.train_labels) == 19
    assert "1 pictures could not be read" in pictures.source


def test_models_are_found_and_fetched_by_the_same_means(hub):
    hub.add("me/model", {"config.json": b"{}"}, kind="models", card={"license": "mit"})
    repository = find("model", "me/model")
    assert repository.card == {"license": "mit"}
    [path] = download(repository, ["config.json"], 100)
    assert path.read_bytes() == b"{}"


def test_a_model_trains_on_a_data_set_of_the_hub(hub, tmp_path):
    hub.add(NAME, garments(), card={"license": "mit"})
    out, home = tmp_path / "run", tmp_path / "home"
    flags = (
        f"--data hub:{NAME} --out {out} --steps 2 --batch-size 4 --channels 6 --n-layer 2 "
        "--first-kernel-size 3 --threads 1"
    )
    process = subprocess.run(
        [sys.executable, "-m", "train.image", *flags.split()],
        cwd=ROOT,
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    model, tokenizer = load(out)
    assert (tokenizer.height, tokenizer.width, tokenizer.channels) == (5, 6, 1)
    assert model.config.n_class == 2
    card = (out / "README.md").read_text()
    assert f"| data | {NAME} (hub:{NAME}@" in card
    assert "| licence of the data | mit |" in card
