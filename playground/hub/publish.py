"""Our own checkpoints on the Hub: published with a card that says how to load them, and pulled."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from playground import checkpoints
from playground.data.hub import NAME, UnreachableError, explained, find, in_time
from playground.errors import CheckpointError, DataError, PlaygroundError
from playground.hub.fetch import fetch
from playground.hub.plan import plan

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "autoregressive-playground"
FILES = ("config.json", "model.safetensors")
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TASKS = {"image": "unconditional-image-generation", "audio": "text-to-audio"}
METRICS = {  # in the info of a config.json: how a card calls it
    "held_out_bits_per_char": "bits per character",
    "test_bits_per_dim": "bits per dimension",
    "test_bits_per_sample": "bits per sample",
}
LICENCES = {  # what our own data is called: the Hub's names
    "public domain": "pddl", "public domain (PDDL)": "pddl", "MIT": "mit", "CC0": "cc0-1.0",
}  # fmt: skip
HEADING = "## Load it"


def push(folder: Path, repo_id: str, private: bool = False, licence: str = "") -> str:
    """Publish a checkpoint of ours as `repo_id` ("owner/name"); return "owner/name@commit".

    Pushing again makes a new commit; the older ones stay. A repository that holds a model of
    another kind is left alone.

    Args:
        licence: the Hub's name of it (mit, apache-2.0, …); left out, what the README beside the
            checkpoint says, or what follows from its data.

    Raises:
        CheckpointError: the folder holds no checkpoint that can be loaded.
        DataError: it may not be written there, or the Hub cannot be asked.
    """
    if not NAME.fullmatch(repo_id):
        raise DataError(
            f"{repo_id[:200]!r} is no name on the Hub. Write owner/name, with letters, digits, "
            "'.', '_' and '-'."
        )
    checkpoints.load(folder)
    card = card_of(folder, repo_id, licence)
    api = HfApi()
    with _writable(repo_id), tempfile.TemporaryDirectory() as temporary:
        in_time(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        held = find("model", repo_id).sizes
        if any(file.endswith((".safetensors", ".bin", ".gguf")) for file in held):
            _check_ours(repo_id)
        for file in FILES:
            shutil.copyfile(folder / file, Path(temporary, file))
        card.save(Path(temporary, "README.md"))
        done = api.upload_folder(
            repo_id=repo_id, folder_path=temporary, commit_message=f"Publish {folder.name}"
        )
    return f"{repo_id}@{done.oid}"


def card_of(folder: Path, repo_id: str, licence: str = "") -> ModelCard:
    """Return the model card of a checkpoint: its README, metadata, and how to load it."""
    config = checkpoints.read_config(folder)
    info = config.get("info") if isinstance(config.get("info"), dict) else {}
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = f"# {repo_id.split('/')[1]}\n\nA {config['family']}.\n"
    if not text.startswith("---"):
        text = f"---\nlibrary_name: {LIBRARY}\n---\n{text}"
    try:
        card = ModelCard(text)
    except Exception as error:  # YAML by hand can fail in any way
        raise CheckpointError(
            f"The metadata at the head of README.md of {folder.name!r} cannot be read "
            f"({' '.join(str(error).split())[:150]}). Correct it, or leave it out."
        ) from error
    tokenizer = config.get("tokenizer")
    modality = tokenizer.get("type") if isinstance(tokenizer, dict) else None
    said = card.data.to_dict()
    data = ModelCardData(
        license=licence or said.get("license") or LICENCES.get(str(info.get("licence")), "other"),
        library_name=LIBRARY,
        pipeline_tag=TASKS.get(modality, "text-generation"),
        tags=["autoregressive", config["family"], *said.get("tags", ())],
        model_name=repo_id.split("/")[1],
        eval_results=_results(info, TASKS.get(modality, "text-generation")) or None,
    )
    card.data = ModelCardData(**{**said, **data.to_dict()})
    if HEADING not in card.text:
        card.text = f"{card.text.rstrip()}\n\n{HEADING}\n\n```python\n{line_for(repo_id)}\n```\n"
    return card


def line_for(repo_id: str) -> str:
    """Return the line of Python that loads a published checkpoint."""
    return f'from playground.hub import from_hub; model, tokenizer = from_hub("{repo_id}")'


def pull(
    address: str,
    name: str = "",
    into: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Bring a checkpoint of ours, "owner/name" or "owner/name@revision", to into/name or runs/name.

    It is loaded before it is put there, whole, and nothing is overwritten.

    Raises:
        DataError: the name is taken or cannot be, or it cannot be fetched.
        CheckpointError: it is no checkpoint of ours, or damaged.
    """
    name = name or address.removeprefix("hub:").partition("@")[0].rpartition("/")[2]
    if not FOLDER_NAME.fullmatch(name):
        raise DataError(
            f"{name[:100]!r} cannot name a folder here. Use up to 64 letters, digits, '.', '_' and "
            "'-', the first a letter or a digit."
        )
    into = into or ROOT / "runs"
    target = into / name
    if target.exists() or (ROOT / "checkpoints" / name).exists():
        raise DataError(
            f"There is a model {name!r} here already, and nothing is overwritten. Give another "
            "name with --name, or remove it first."
        )
    found = plan(address)
    if found.kind != "playground":
        raise CheckpointError(
            f"{found.address} is no checkpoint of this playground, but a {found.architecture} of "
            f"transformers. Use it as it is: --model hub:{found.repository.name}."
        )
    snapshot = fetch(found, on_progress)
    into.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=into))
    try:
        for file in (*FILES, "README.md"):
            if (snapshot / file).is_file():
                shutil.copyfile(snapshot / file, temporary / file)
        checkpoints.load(temporary)
        temporary.chmod(0o755)
        os.rename(temporary, target)  # fails where somebody was faster
    except OSError as error:
        raise DataError(
            f"{name!r} cannot be written to {into.name}/ ({error.strerror}). Make room, or give "
            "another name with --name."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _results(info: dict, task: str) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=task,
            dataset_type="own",
            dataset_name=str(info.get("data", "held out")),
            dataset_split=str(info.get("split", "held out")),
            metric_type=name.replace(" ", "_"),
            metric_name=name,
            metric_value=info[key],
        )
        for key, name in METRICS.items()
        if isinstance(info.get(key), int | float)
    ]


def _check_ours(repo_id: str) -> None:
    try:
        is_ours = plan(repo_id).kind == "playground"
    except UnreachableError:
        raise
    except PlaygroundError:
        is_ours = False
    if not is_ours:
        raise DataError(
            f"{repo_id} holds another model, which is left as it is. Choose another name."
        )


@contextmanager
def _writable(repo_id: str) -> Iterator[None]:
    """Turn what the client raises when it writes into DataErrors that say what to do."""
    try:
        with explained("model", repo_id, None):
            try:
                with _unwrapped():
                    yield
            except HfHubHTTPError as error:
                if error.response.status_code not in (401, 403):
                    raise
                raise _forbidden(repo_id) from error
            except LocalTokenNotFoundError as error:
                raise _forbidden(repo_id) from error
            except HFValidationError as error:
                raise DataError(f"{repo_id} is no name on the Hub: {error}") from error
    except UnreachableError as error:
        raise UnreachableError(f"Nothing was published. {error}") from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise what an upload failed of, which the client tells only as the cause."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, HfHubHTTPError | HTTPError | OSError):
            raise error.__cause__ from error
        raise


def _forbidden(repo_id: str) -> DataError:
    return DataError(
        f"You may not write to {repo_id}. Log in with `hf auth login` and a token that may write, "
        "and use your own name or an organization of yours as the owner."
    )
