"""A judge sees the same picture of a run's mention, by which its threshold is set, and of a question."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dim.data.dataset import write_dataset
from dim.linker.answer import Question
from dim.linker.judged import case_of
from dim.training.cases import RunCases

SIDE = 512
IMAGES = [
    ["wide.png"],
    ["wide.jpg"],
    ["gone.png", "wide.png"],
    ["wide.jpg#xywh=10,20,1000,700"],
    ["small.png", "wide.png"],
]
STAGE: Any = SimpleNamespace(judge=SimpleNamespace(reads_images=True, image_side=SIDE))


@pytest.fixture
def cases(tmp_path: Path) -> RunCases:
    noise = np.random.default_rng(0).integers(0, 255, (80, 160, 3), dtype=np.uint8)
    wide = Image.fromarray(noise).resize((1600, 800))
    wide.save(tmp_path / "wide.png")
    wide.save(tmp_path / "wide.jpg")
    Image.fromarray(noise[:20, :20]).save(tmp_path / "small.png")
    ids = [f"m{place}" for place in range(len(IMAGES))]
    dataset = write_dataset(
        tmp_path / "dataset",
        name="seen",
        entities=pd.DataFrame({"id": ["e"], "name": ["Ada"]}),
        texts={"brief": pd.DataFrame({"entity_id": ["e"], "text": ["a painter"]})},
        mentions=pd.DataFrame(
            {"id": ids, "split": "train", "mention": "Ada", "context": "", "entity_id": "e", "images": IMAGES}
        ),
        image_root=str(tmp_path),
    )
    task: Any = SimpleNamespace(data=SimpleNamespace(dataset=dataset, texts=["a painter"]))
    finder: Any = SimpleNamespace(mentions=["Ada"] * len(ids), contexts=[""] * len(ids))
    return RunCases(task, finder)


@pytest.mark.parametrize("row", range(len(IMAGES)))
def test_of_a_question_a_judge_sees_what_it_saw_of_the_run(row: int, cases: RunCases, tmp_path: Path) -> None:
    of_run = cases.of(row, np.array([0]), SIDE).image
    asked = Question("Ada", image=[str(tmp_path / path) for path in IMAGES[row]])
    of_question = case_of(STAGE, asked, []).image
    assert of_run is not None
    assert of_question is not None
    assert max(of_run.size) == (SIDE if row < 4 else 20)
    assert np.array_equal(np.asarray(of_run), np.asarray(of_question))


def test_where_no_image_can_be_used_the_judge_sees_none_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert case_of(STAGE, Question("Ada", image=absent), []).image is None
    assert "the judge sees no image of a question: not found" in caplog.text
    blind: Any = SimpleNamespace(judge=SimpleNamespace(reads_images=False))
    assert case_of(blind, Question("Ada", image=absent), []).image is None
