import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lavis.models.blip2_models.blip2_opt import Blip2OPT
from lavis.models.blip2_models.blip2_qformer import Blip2Qformer
from PIL import Image
from tiny_lavis import make_folder, shrink_image_encoder

from dim.cli.commands import Command
from dim.data.dataset import Dataset, write_dataset
from dim.encoders.blip2 import QUESTION, Blip2Captioner
from dim.encoders.blip2_lavis import Blip2LavisCaptioner, Blip2LavisImageEncoder, Blip2LavisTextEncoder
from dim.errors import ConfigError
from dim.features.caption_store import read_answers
from dim.features.embed import embed_dataset
from dim.features.fields import Choices
from dim.images.reading import load_image

TEXTS = ["Ana sings in Rome", "bo", "", "ana " * 400]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_image_encoder(monkeypatch)


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("lavis") / "opt-model", Blip2OPT)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("lavis") / "extractor", Blip2Qformer)


def make_dataset(root: Path) -> Dataset:
    (root / "images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(root / f"images/{i}.png")
    (root / "images/broken.png").write_bytes(b"no image")
    names = [["0.png"], ["1.png"], [], ["2.png"], ["0.png"], ["broken.png"]]
    mentions = {
        "id": [f"m{i}" for i in range(6)],
        "split": ["train"] * 6,
        "mention": ["Ana", "Bo", "Ana", "Bo", "Ana", "Ana"],
        "context": ["Ana and Bo sing"] * 6,
        "images": names,
    }
    return write_dataset(
        root / "dataset",
        name="tiny",
        entities=pd.DataFrame({"id": ["a", "b"], "name": ["Ana", "Bo"]}),
        texts={"brief": pd.DataFrame({"entity_id": ["a", "b"], "text": ["a singer", "a dancer"]})},
        mentions=pd.DataFrame(mentions),
        image_root="../images",
    )


def pixels(dataset: Dataset, model: Blip2LavisCaptioner | Blip2LavisImageEncoder) -> list[np.ndarray]:
    names = ["0.png", "1.png", "2.png"]
    return [model.preprocess(load_image(dataset.image_root / name, dataset.image_root)) for name in names]


def oracle(model: Blip2OPT, image: np.ndarray, question: str) -> str:
    """One image at a time, by LAVIS's own method."""
    samples = {"image": torch.from_numpy(image)[None], "prompt": question}
    return str(model.generate(samples, num_beams=1, max_length=20)[0])


@pytest.mark.parametrize("question", [QUESTION, "Question: Is {mention} here? Answer:"])
def test_the_command_writes_the_answers_of_lavis_into_the_dataset_folder(
    opt: Path, tmp_path: Path, question: str
) -> None:
    dataset = make_dataset(tmp_path)
    options = ["--captioner", "Blip2LavisCaptioner", "--captioner.path", str(opt), "--captioner.question", question]
    cache = ["--cache_dir", str(tmp_path / "cache"), "--num_workers", "1"]
    Command("dim.cli.caption", ("caption",), "").run("caption", [str(dataset.root), *options, *cache])
    captioner = Blip2LavisCaptioner(str(opt), question=question)
    images, model = pixels(dataset, captioner), captioner.lavis.network
    asked = [(0, "Ana"), (1, "Bo"), (2, "Bo")]
    first, second, third = (oracle(model, images[i], question.format(mention=name)) for i, name in asked)
    column = Dataset(dataset.root).mentions["caption"]
    assert column.where(column.notna(), None).tolist() == [first, second, None, third, first, None]
    assert len({first, second, third}) == 3
    record = read_answers(dataset, "opt-model")
    assert set(record["fingerprint"]) == {captioner.fingerprint}
    assert record["date"].notna().all()
    assert Dataset(dataset.root).hash == dataset.hash


def test_a_batch_of_different_questions_answers_as_lavis_does_one_by_one(opt: Path, tmp_path: Path) -> None:
    captioner = Blip2LavisCaptioner(str(opt), device="cpu")
    images = pixels(make_dataset(tmp_path), captioner)
    questions = ["Who is it?", QUESTION, "Who is it?"]
    expected = [oracle(captioner.lavis.network, *pair) for pair in zip(images, questions, strict=True)]
    assert captioner.caption(images, questions) == expected


def test_features_are_those_that_lavis_extracts(extractor: Path, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    text, image = Blip2LavisTextEncoder(str(extractor)), Blip2LavisImageEncoder(str(extractor))
    features = embed_dataset(dataset, Choices(text, image), cache_dir=tmp_path / "cache", num_workers=0, progress=False)
    model, images = image.lavis.network, torch.from_numpy(np.stack(pixels(dataset, image)))
    with torch.no_grad():
        queries = model.extract_features({"image": images}, mode="image").image_embeds_proj.mean(dim=1)
        words = model.extract_features({"text_input": ["Ana", "Bo"]}, mode="text").text_embeds_proj[:, 0]
    expected = torch.nn.functional.normalize(queries, dim=-1).numpy()
    found = features["image"]
    np.testing.assert_allclose(found.dense()[[0, 1, 3, 4]], expected[[0, 1, 2, 0]], atol=1e-5)
    assert found.mask.tolist() == [True, True, False, True, True, False]
    np.testing.assert_allclose(features["name"].dense(), words.numpy(), atol=1e-5)
    assert (text.width, image.width) == (256, 256)
    long = text.encode_text(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1, atol=1e-5)


def test_the_fingerprint_follows_the_files(opt: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path / "other", Blip2OPT, seed=1)
    captioners = [
        Blip2LavisCaptioner(str(opt)),
        Blip2LavisCaptioner(str(opt), question="Who?"),
        Blip2LavisCaptioner(str(opt), max_new_tokens=3),
        Blip2LavisCaptioner(str(other)),
        Blip2LavisCaptioner(model_type="pretrain_opt6.7b"),
    ]
    assert len({captioner.fingerprint for captioner in captioners}) == 5
    assert [pickle.loads(pickle.dumps(each)).fingerprint for each in captioners] == [
        each.fingerprint for each in captioners
    ]


def test_a_folder_or_type_that_lavis_cannot_load_is_named(opt: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"a folder with model.yaml, bert-base-uncased, checkpoints(?s:.*)lists it"):
        Blip2LavisCaptioner(str(tmp_path / "empty")).fingerprint  # noqa: B018
    with pytest.raises(ConfigError, match=r"a model_type of blip2_opt \(pretrain_opt2.7b.*\)\nfound    opt"):
        Blip2LavisCaptioner(model_type="opt").lavis.network  # noqa: B018
    before = Path.cwd()
    (opt / "blip2.pth").rename(tmp_path / "away.pth")
    with pytest.raises(ConfigError, match=r"the model blip2_opt at .*(?s:.*)checkpoint url or path is invalid"):
        Blip2LavisCaptioner(str(opt)).lavis.network  # noqa: B018
    (tmp_path / "away.pth").rename(opt / "blip2.pth")
    assert Path.cwd() == before


def test_beside_lavis_the_captioner_of_transformers_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"Transformers 4.57 or newer(?s:.*)Blip2LavisCaptioner"):
        Blip2Captioner("a/b").network  # noqa: B018


def test_naming_the_classes_does_not_import_lavis() -> None:
    code = "import sys, dim.cli.caption; print([name for name in sys.modules if name.split('.')[0] == 'lavis'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
