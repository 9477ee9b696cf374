"""A folder of sentence-transformers is obeyed: vectors are its own, whatever of it says how they are made."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_folders import KINDS, MEAN, dense, write_encoder, write_folder
from small_hub import NOWHERE, small_hub, use_hub

from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

TEXTS = ["Anna", "anna sees Paris, a very long old town by the sea", "", "a town"]
NORMALIZE = ("Normalize", {})
SEVERAL = {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True, "pooling_mode_weightedmean_tokens": True}
PROMPTS = {"query": "query: ", "document": "passage: "}
FOLDERS: dict[str, dict[str, Any]] = {
    "mean": {"heads": [NORMALIZE]},
    "cls": {"pooling": {"pooling_mode_cls_token": True}},
    "max": {"pooling": {"pooling_mode_max_tokens": True}},
    "mean_sqrt_len": {"pooling": {"pooling_mode_mean_sqrt_len_tokens": True}},
    "weightedmean": {"pooling": {"pooling_mode_weightedmean_tokens": True}},
    "lasttoken": {"pooling": {"pooling_mode_lasttoken": True}},
    "several": {"pooling": SEVERAL},
    "several of today": {"pooling": {"pooling_mode": ["lasttoken", "mean"]}},
    "none named": {"pooling": {}},
    "dense": {"heads": [dense()]},
    "dense and normalize": {"heads": [dense(activation="linear.Identity"), NORMALIZE]},
    "normalize and dense": {"heads": [NORMALIZE, dense(8, "activation.ReLU"), dense(6, "activation.GELU", before=8)]},
    "dense beside its input": {"heads": [dense(12, use_residual=True)]},
    "dense after several": {"pooling": SEVERAL, "heads": [dense(10, before=48)]},
    "pickled dense": {"heads": [dense()], "pickled": True},
    "layer norm": {"heads": [("LayerNorm", {"dimension": 16}), ("Dropout", {"dropout": 0.5})]},
    "max_seq_length": {"settings": {"max_seq_length": 7}, "heads": [NORMALIZE]},
    "capitals": {"cased": True},
    "do_lower_case": {"cased": True, "settings": {"do_lower_case": True}},
    "matryoshka": {"told": {"truncate_dim": 5}, "heads": [NORMALIZE]},
    "prompts": {"told": {"prompts": PROMPTS}},
    "prompts that are not pooled": {
        "told": {"prompts": PROMPTS},
        "pooling": {
            "pooling_mode_mean_tokens": True,
            "pooling_mode_weightedmean_tokens": True,
            "include_prompt": False,
        },
    },
    **{kind: {"kind": kind} for kind in KINDS},
    "decoder, last token, left": {
        "kind": "qwen3",
        "padding": "left",
        "eos": True,
        "pooling": {"pooling_mode_lasttoken": True, "include_prompt": True},
        "told": {"prompts": {"query": "find: ", "document": ""}},
        "heads": [NORMALIZE],
    },
    "decoder, last token, right": {"kind": "qwen3", "eos": True, "pooling": {"pooling_mode_lasttoken": True}},
}


def encoder(folder: Path, **options: Any) -> TransformersTextEncoder:
    return TransformersTextEncoder(str(folder), device="cpu", **options)


def oracle(folder: Path, **options: Any) -> Any:
    kind = pytest.importorskip("sentence_transformers").SentenceTransformer
    return kind(str(folder), device="cpu", local_files_only=True, **options)


#: A further case of what another folder shows.
FURTHER = ("max", "mean_sqrt_len", "several of today", "none named", "dense and normalize", "dense after several",
           "capitals", "decoder, last token, right", *list(KINDS)[1::2])  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.long] * (x in FURTHER)) for x in FOLDERS])
def test_vectors_are_those_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "st", **FOLDERS[name])
    theirs, ours = oracle(folder), encoder(folder)
    assert ours.width == theirs.get_embedding_dimension()
    for owner, encode in (("mention", theirs.encode_query), ("entity", theirs.encode_document)):
        read = ours.reading(owner)
        # One by one: some folders of theirs give a text other vectors beside a longer one.
        expected = np.stack([encode([text])[0] for text in TEXTS])
        np.testing.assert_allclose(read.encode_text(TEXTS), expected, atol=1e-5)
        assert np.array_equal(pickle.loads(pickle.dumps(read)).encode_text(TEXTS), read.encode_text(TEXTS))
    is_pickled = FOLDERS[name].get("pickled", False)
    assert ours.copy_model(folder, tmp_path / "copy") == is_pickled
    copied = encoder(tmp_path / "copy")
    assert (copied.fingerprint != ours.fingerprint) == is_pickled
    features = copied.reading("mention").encode_text(TEXTS)
    np.testing.assert_array_equal(features, ours.reading("mention").encode_text(TEXTS))


def test_prompts_of_other_names_are_found(tmp_path: Path) -> None:
    """sentence-transformers 6.2 says that it looks for `passage` and does not: its own empty `document` comes first."""
    named = write_folder(tmp_path / "named", told={"prompts": {"query": "", "passage": "passage: "}})
    told = {"prompts": {"sts": "alike: "}, "default_prompt_name": "sts"}
    default = write_folder(tmp_path / "default", told=told)
    theirs = oracle(named)
    for owner, prompt in (("mention", "query"), ("entity", "passage")):
        read = encoder(named).reading(owner).encode_text(TEXTS)
        np.testing.assert_allclose(read, theirs.encode(TEXTS, prompt_name=prompt), atol=1e-5)
    expected = oracle(default).encode(TEXTS)
    for owner in ("mention", "entity"):
        np.testing.assert_allclose(encoder(default).reading(owner).encode_text(TEXTS), expected, atol=1e-5)


def test_an_option_wins_over_the_folder_and_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"prompts": PROMPTS, "truncate_dim": 8}
    folder = write_folder(tmp_path / "st", heads=[dense(), NORMALIZE], told=told, settings={"max_seq_length": 9})
    plain = write_encoder(tmp_path / "plain")
    for _ in range(2):
        ours = encoder(folder, pooling="cls", normalize=False, max_length=None)
        np.testing.assert_array_equal(ours.encode_text(TEXTS), encoder(plain, pooling="cls").encode_text(TEXTS))
        assert ours.reading("mention") is ours
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    for part in ("'cls', not 'mean'", "None, not 9", "False, not True", "Dense heads: 0, not 1", "'', not 'query: '"):
        assert part in line
    several = encoder(folder, query_prompt="about: ", truncate_dim=4, normalize=True)
    theirs = oracle(folder, truncate_dim=4).encode(TEXTS, prompt="about: ", normalize_embeddings=True)
    np.testing.assert_allclose(several.reading("mention").encode_text(TEXTS), theirs, atol=1e-5)
    assert "truncate_dim: 4, not 8" in capsys.readouterr().err
    assert encoder(folder, normalize=False).width == 8


def test_what_the_folder_says_as_the_options_did_has_the_same_fingerprint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "st", heads=[NORMALIZE], settings={"max_seq_length": 64})
    asked = {"pooling": "mean", "max_length": None, "normalize": True}
    assert encoder(folder).fingerprint == encoder(folder, **asked).fingerprint
    prompted = write_folder(tmp_path / "prompted", told={"prompts": {"query": "query: "}})
    ours, bare = encoder(prompted), encoder(prompted, pooling="mean", max_length=None, normalize=False)
    assert ours.reading("entity").fingerprint == bare.fingerprint  # what was cached without a prompt stays
    assert len({ours.fingerprint, ours.reading("mention").fingerprint, bare.fingerprint}) == 3


def test_each_part_of_the_folder_that_changes_vectors_changes_the_fingerprint(tmp_path: Path) -> None:
    names = set(FOLDERS) - {"none named", "bert", "max_seq_length"}
    plain = {"max_length": None}  # `mean` and others differ by one thing each
    found = {name: encoder(write_folder(tmp_path / name, **FOLDERS[name]), **plain).fingerprint for name in names}
    assert len(set(found.values())) == len(names)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"heads": [("CNN", {})]}, "the modules Transformer, Pooling, CNN"),
        ({"heads": [dense(activation="activation.Thing")]}, "the activation torch.nn.modules.activation.Thing"),
        ({"heads": [dense(module_input_name="token_embeddings")]}, "a Dense module over token_embeddings"),
        ({"pooling": {"pooling_mode": "median"}}, "the pooling median"),
        ({"settings": {"transformer_task": "fill-mask"}}, "transformer_task fill-mask"),
        ({"heads": [dense(before=10**9)]}, "with weights of"),
        ({"heads": [dense("12")]}, "with weights of|'12'"),
        ({"pooling": {"pooling_mode": 5}}, "TypeError"),
        ({"settings": {"max_seq_length": "many"}}, "many for a number of tokens"),
        ({"settings": {"model_args": [1]}}, "model_kwargs with 1"),
        ({"told": {"truncate_dim": 0.5}}, "0.5 for a number"),
        ({"told": {"prompts": {"query": 5}}}, "the prompt 5"),
        ({"told": {"prompts": [1], "default_prompt_name": 1}}, "Error"),
        ({"settings": {"config_args": {"is_causal": False}}}, "config_kwargs with is_causal"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(tmp_path: Path, change: dict[str, Any], found: str) -> None:
    folder = write_folder(tmp_path / "st", **({"heads": []} | change | {"heads": []}))
    if heads := change.get("heads"):
        kind, config = heads[0]
        place = folder / f"2_{kind}"
        shutil.copytree(write_folder(tmp_path / "other", heads=[dense()]) / "2_Dense", place)
        (place / "config.json").write_text(json.dumps(config))
        modules = json.loads((folder / "modules.json").read_text())
        modules.append({"path": place.name, "type": f"sentence_transformers.models.{kind}"})
        (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=found):
        encoder(folder).encode_text(TEXTS)
    assert encoder(folder, pooling="mean", max_length=None, normalize=False).encode_text(TEXTS).shape == (4, 16)


def test_a_pooling_module_without_its_config_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "st")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"a Pooling module without 1_Pooling/config\.json"):
        encoder(folder).encode_text(TEXTS)


def test_a_module_of_anothers_code_or_place_is_never_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "st")
    modules = json.loads((folder / "modules.json").read_text())
    for wrong in ({"type": "os.system", "path": "2"}, {"type": "sentence_transformers.models.Dense", "path": "../2"}):
        (folder / "modules.json").write_text(json.dumps([*modules, wrong]))
        with pytest.raises(ConfigError, match=r"os\.system|outside the folder"):
            _ = encoder(folder).fingerprint


def test_an_id_on_the_hub_is_obeyed_too_and_without_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "st", heads=[dense(), NORMALIZE], told={"prompts": PROMPTS})
    with small_hub() as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        hub.publish("lab/st", {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()})
        hub.publish("lab/plain", write_encoder(tmp_path / "plain"))
        expected = encoder(folder).reading("entity").encode_text(TEXTS)
        online = TransformersTextEncoder("lab/st", device="cpu").reading("entity")
        np.testing.assert_array_equal(online.encode_text(TEXTS), expected)
        plain = TransformersTextEncoder("lab/plain", device="cpu")
        np.testing.assert_array_equal(plain.encode_text(TEXTS), encoder(tmp_path / "plain").encode_text(TEXTS))
    use_hub(monkeypatch, NOWHERE, tmp_path / "cache")
    away = TransformersTextEncoder("lab/st", device="cpu").reading("entity")
    assert away.fingerprint == online.fingerprint
    np.testing.assert_array_equal(away.encode_text(TEXTS), expected)
    assert TransformersTextEncoder("lab/plain", device="cpu").fingerprint == plain.fingerprint


@pytest.mark.parametrize("train", ["full", "lora"])
def test_a_trained_folder_is_written_with_its_modules(tmp_path: Path, train: str) -> None:
    if train == "lora":
        pytest.importorskip("peft")
    folder = write_folder(tmp_path / "st", heads=[dense(), NORMALIZE], told={"prompts": PROMPTS})
    trained = encoder(folder, train=train)
    features = trained.reading("mention").forward_text(TEXTS)
    assert features.requires_grad
    options = trained.write_frozen(tmp_path / "written")
    again = encoder(tmp_path / "written", **options).reading("mention")
    np.testing.assert_allclose(again.encode_text(TEXTS), features.detach().numpy(), atol=1e-5)


def test_an_encoder_in_a_folder_of_its_own_is_read_by_the_modules_above_it(tmp_path: Path) -> None:
    """As versions before 2 wrote them."""
    settings = {"max_seq_length": 7}
    folder = write_folder(tmp_path / "st", {"pooling_mode_cls_token": True}, [dense()], settings)
    inner = folder / "0_Transformer"
    inner.mkdir()
    for file in [*folder.glob("*.safetensors"), *folder.glob("*config*.json"), *folder.glob("token*")]:
        if file.name != "config_sentence_transformers.json" and file.parent == folder and file.exists():
            shutil.move(file, inner / file.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = inner.name
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=f"Name {inner}"):
        encoder(folder).encode_text(TEXTS)
    features = encoder(inner).encode_text(TEXTS)
    np.testing.assert_allclose(features, oracle(folder).encode(TEXTS), atol=1e-5)
    encoder(inner).copy_model(inner, tmp_path / "copy")
    np.testing.assert_array_equal(encoder(tmp_path / "copy").encode_text(TEXTS), features)
    options = encoder(inner, train="full").write_frozen(tmp_path / "written")
    np.testing.assert_allclose(encoder(tmp_path / "written", **options).encode_text(TEXTS), features, atol=1e-5)


@pytest.mark.parametrize("train", ["full", "lora"])
def test_a_trained_encoder_is_checked_without_dropout_and_goes_on_with_it(tmp_path: Path, train: str) -> None:
    """Lightning's fast_dev_run and num_sanity_val_steps 0 encode the first time within a training step."""
    if train == "lora":
        pytest.importorskip("peft")
    trained = encoder(write_folder(tmp_path / "st"), train=train)
    assert not any(module.training for module in trained.network.modules())
    trained.network.train()
    first, again = trained.forward_text(TEXTS), trained.forward_text(TEXTS)
    assert trained.network.training
    assert not np.array_equal(first.detach().numpy(), again.detach().numpy())


def test_mean_pooling_is_the_default_where_no_folder_says_anything(tmp_path: Path) -> None:
    plain = write_encoder(tmp_path / "plain")
    saved = write_folder(tmp_path / "st", pooling=MEAN)
    np.testing.assert_array_equal(encoder(plain).encode_text(TEXTS), encoder(saved).encode_text(TEXTS))
