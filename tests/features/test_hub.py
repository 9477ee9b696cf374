"""What is named by an id on a hub is one commit: the branch may move, the network may be away."""

import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from chat_models import write_chat
from small_hub import NOWHERE, Hub, small_hub, use_hub
from tiny_blip2 import make_blip2
from tiny_lm import save_model
from tiny_text import write_bert

from dim.encoders.blip2 import Blip2Captioner
from dim.encoders.chat_captioner import TransformersCaptioner
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError
from dim.linker.recipe import located, write_encoder_files
from dim.methods.generative.language_model import LanguageModel

TEXTS = ["anna sees paris", "a very long old town"]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with small_hub() as server:
        yield server


@pytest.fixture
def online(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """The hub, with an empty cache."""
    use_hub(monkeypatch, hub.url, tmp_path / "cache")
    hub.repositories.clear()
    hub.asked.clear()
    return hub


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of one shape with other weights."""
    place = tmp_path_factory.mktemp("berts")
    return [write_bert(place / f"{seed}", seed=seed) for seed in (0, 1)]


def text(path: str, **options: Any) -> TransformersTextEncoder:
    return TransformersTextEncoder(path, device="cpu", **options)


def test_an_encoder_is_its_commit_and_the_next_one_sees_the_branch_moved(online: Hub, berts: list[Path]) -> None:
    first = online.publish("lab/bert", berts[0])
    old = text("lab/bert")
    features = old.encode_text(TEXTS)
    second = online.publish("lab/bert", berts[1])
    assert old.pinned_options == {"revision": first}
    assert f"lab/bert@{first}" in old.fingerprint
    new = text("lab/bert")
    assert f"lab/bert@{second}" in new.fingerprint
    np.testing.assert_array_equal(new.encode_text(TEXTS), text(str(berts[1])).encode_text(TEXTS))
    again = text("lab/bert", revision=first)
    assert again.fingerprint == old.fingerprint
    np.testing.assert_array_equal(again.encode_text(TEXTS), features)
    assert np.abs(new.encode_text(TEXTS) - features).max() > 0.01


def test_the_commit_is_the_same_for_config_tokenizer_and_weights_and_for_other_processes(
    online: Hub, berts: list[Path]
) -> None:
    first = online.publish("lab/bert", berts[0])
    encoder = text("lab/bert")
    assert encoder.width == 16  # the config is read
    online.publish("lab/bert", berts[1])
    worker = pickle.loads(pickle.dumps(encoder))
    for one in (encoder, worker):
        np.testing.assert_array_equal(one.encode_text(TEXTS), text(str(berts[0])).encode_text(TEXTS))
    assert worker.fingerprint == encoder.fingerprint
    assert all(first in asked for asked in online.asked if "/resolve/" in asked)


def test_a_branch_or_tag_is_pinned_as_main_is(online: Hub, berts: list[Path]) -> None:
    online.publish("lab/bert", berts[0])
    tagged = online.publish("lab/bert", berts[1], branch="v1.0")
    assert f"lab/bert@{tagged}" in text("lab/bert", revision="v1.0").fingerprint
    with pytest.raises(ConfigError, match=r"lab/bert at v2[\s\S]*the hub says: RevisionNotFoundError"):
        _ = text("lab/bert", revision="v2").fingerprint


@pytest.mark.parametrize("switch", ["unreachable", "offline"])
def test_without_a_connection_the_cache_says_what_main_was(
    online: Hub, berts: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: str
) -> None:
    first = online.publish("lab/bert", berts[0])
    features = text("lab/bert").encode_text(TEXTS)
    if switch == "offline":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        use_hub(monkeypatch, NOWHERE, tmp_path / "cache")
    away = text("lab/bert")
    assert away.pinned_options == {"revision": first}
    np.testing.assert_array_equal(away.encode_text(TEXTS), features)
    np.testing.assert_array_equal(text("lab/bert", revision=first).encode_text(TEXTS), features)


def test_without_a_connection_and_a_known_commit_both_are_said(
    online: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_hub(monkeypatch, NOWHERE, tmp_path / "cache")
    (tmp_path / "models" / "minilm-l6").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        text("models/minilm").encode_text(TEXTS)
    message = str(caught.value)
    for part in ("a Transformers text encoder at models/minilm", "no such folder (beside it: minilm-l6)"):
        assert part in message
    for part in ("no connection to the hub (ConnectError", "nor a commit of main in its cache"):
        assert part in message
    with pytest.raises(ConfigError, match="no connection to the hub"):
        _ = text("lab/bert", revision="a" * 40).fingerprint


@contextmanager
def silent_hub() -> Iterator[tuple[str, list[bytes]]]:
    """Where a hub hangs up on whoever asks; and what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                asked.append(connection.recv(100))
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with silent_hub() as (url, asked):
        use_hub(monkeypatch, url, tmp_path / "cache")
        with pytest.raises(ConfigError, match="no connection to the hub"):
            text("models/minilm").encode_text(TEXTS)
    assert len(asked) == 1


def test_a_commit_in_the_cache_is_read_there_when_the_hub_does_not_answer(
    online: Hub, berts: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = online.publish("lab/bert", berts[0])
    features = text("lab/bert").encode_text(TEXTS)
    with silent_hub() as (url, asked):
        use_hub(monkeypatch, url, tmp_path / "cache")
        np.testing.assert_array_equal(text("lab/bert", revision=first).encode_text(TEXTS), features)
    assert len(asked) == 1  # not again and again for each file of its tokenizer


def test_an_id_that_the_hub_lacks_says_both(online: Hub) -> None:
    with pytest.raises(ConfigError, match=r"no such folder \(beside it: [\s\S]*the hub says: RepositoryNotFoundError"):
        text("lab/nothing").encode_text(TEXTS)
    with pytest.raises(ConfigError, match=r"no such folder[\s\S]*no id can be so: HFValidationError"):
        text("my model").encode_text(TEXTS)


def test_what_a_command_makes_is_not_looked_for_on_the_hub(online: Hub) -> None:
    with pytest.raises(ConfigError, match=r"at demo/lm\nfound    no such folder\nto do    Make it: .*dim demo-lm"):
        _ = LanguageModel("demo/lm").fingerprint
    assert not online.asked


def test_language_models_and_captioners_are_pinned_too(online: Hub, tmp_path: Path) -> None:
    for name, make in (("lm", save_model), ("blip2", make_blip2), ("chat", write_chat)):
        old, new = (make(tmp_path / f"{name}-{seed}", seed=seed) for seed in (0, 1))
        first = online.publish(f"lab/{name}", old)
        kind: Any = {"lm": LanguageModel, "blip2": Blip2Captioner, "chat": TransformersCaptioner}[name]
        frozen = kind(f"lab/{name}")
        assert f"lab/{name}@{first}" in frozen.fingerprint
        online.publish(f"lab/{name}", new)
        weights = frozen.model if name == "lm" else frozen.network
        expected = kind(str(old)).model if name == "lm" else kind(str(old)).network
        assert all(torch.equal(a, b) for a, b in zip(weights.parameters(), expected.parameters(), strict=True))
        assert kind(f"lab/{name}").fingerprint != frozen.fingerprint == kind(f"lab/{name}", revision=first).fingerprint
        assert pickle.loads(pickle.dumps(frozen)).fingerprint == frozen.fingerprint


@pytest.mark.long
def test_what_another_backend_computes_stands_whole_in_a_linkers_folder(
    online: Hub, berts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    online.publish("lab/bert", berts[0])
    options = {"path": "lab/bert", "backend": "onnx", "pooling": "cls"}
    recipe = {"encoders": {"text_encoder": {"class_path": "TransformersTextEncoder", "init_args": options}}}
    torchs = text("lab/bert", pooling="cls")
    portable, converted = write_encoder_files(recipe, {"text_encoder": torchs}, tmp_path / "linker")
    assert converted == {"text_encoder"}
    expected = torchs.encode_text(TEXTS)
    use_hub(monkeypatch, NOWHERE, tmp_path / "empty")
    made = located(portable, tmp_path / "linker")["encoders"]["text_encoder"]["init_args"]
    assert Path(made["path"]).is_relative_to(tmp_path / "linker")
    ours = TransformersTextEncoder(**made, device="cpu")
    assert (ours.backend, ours.pooling) == ("onnx", ("cls",))
    np.testing.assert_allclose(ours.encode_text(TEXTS), expected, atol=1e-5)
