"""Captions by a server: one that looks at what it is sent, one that drops images, and ones that fail."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked_commands import command
from llm_servers import (
    KEY,
    Body,
    FaultyServer,
    completion,
    environment_of,
    image_of,
    question_of,
    set_environment,
    transformers_serve,
    write_tiny_model,
)
from PIL import Image
from test_caption import captions, make_dataset
from waiting import HANG, wait_until

from dim.cli.caption import caption
from dim.cli.commands import Command
from dim.core.files import content_hash
from dim.data.dataset import Dataset
from dim.errors import ConfigError, DataError
from dim.features.caption_store import read_answers
from dim.refresh.caption_server import CaptionServer
from dim.refresh.pictures import COLOURS, QUESTION, SightPicture, data_url

COMMAND = Command("dim.cli.caption", ("caption",), "")
Script = Callable[[int, str, Body], Any]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)


def look_at(image: Image.Image) -> str:
    """What a picture shows, by its pixels: the fields' colours, and the number that is most like the one drawn."""
    pixels = np.asarray(image.convert("RGB"), np.int64)
    nearest = [
        min(COLOURS, key=lambda name: int(np.abs(pixels[60, column] - COLOURS[name]).sum()))
        for column in (60, 180, 300)
    ]
    first, second, third = nearest

    def distance(number: int) -> float:
        drawn = np.asarray(SightPicture((first, second, third), number).image, np.int64)
        return float(np.abs(drawn - pixels).mean())

    return f"{first.title()}, {second} and {third}. The number is {min(range(10, 90), key=distance)}."


def sees(number: int, question: str, body: Body) -> Any:
    image = image_of(body)
    said = look_at(image) if question == QUESTION else f"{question} {image.convert('RGB').getpixel((0, 0))[0] // 50}"
    return 200, {}, completion(said)


def blind(number: int, question: str, body: Body) -> Any:
    return 200, {}, completion("A portrait of a woman in front of a window.")


def ask(
    dataset: Dataset, server: FaultyServer, model: str = "tiny", overwrite: bool = False, **options: Any
) -> Dataset:
    asked = CaptionServer(model, server.url, **({"question": "Who? {mention}", "concurrency": 2} | options))
    return caption(dataset.root, server=asked, overwrite=overwrite)


def journal(dataset: Dataset, name: str = "tiny") -> list[dict[str, Any]]:
    path = dataset.root / "answers" / f"captions-{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_command_takes_a_server_by_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset(tmp_path, [["10.png"], ["210.png"], []])
    with FaultyServer(sees) as server:
        options = ["--server.model", "lab/Tiny 8B", "--server.base_url", server.url, "--server.question", "Who?"]
        COMMAND.run("caption", [str(dataset.root), *options])
    assert captions(dataset) == ["Who? 0", "Who? 4", None]
    said = capsys.readouterr().out
    assert "2 questions about images, for 2 mentions" in said
    assert "sent      3 requests, 120 tokens in, 36 out" in said
    assert len(journal(dataset, "Tiny-8B")) == 3


@pytest.mark.parametrize("first_side", [4000, 500])
def test_the_image_is_sent_as_jpeg_no_larger_than_asked(tmp_path: Path, first_side: int) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    Image.new("RGB", (first_side, first_side // 2)).save(dataset.image_root / "1.png")
    with FaultyServer(sees) as server:
        ask(dataset, server, image_side=640)
        sizes = [image_of(body).size for _, _, body, _ in server.requests]
    assert sizes[0] == (360, 240)
    assert sorted(sizes[1:]) == sorted([(min(first_side, 640), min(first_side, 640) // 2), (32, 32)])


def test_what_is_kept_of_an_answer(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["10.png"], ["210.png"], [], ["10.png"]], mention=["Ana", "Bo", "Cy", "Ana"])
    with FaultyServer(sees) as server:
        ask(dataset, server, price_in=1.0, price_out=2.0, max_tokens=50)
        assert sorted(server.names()[1:]) == ["Who? Ana", "Who? Bo"]
        assert server.names()[0] == QUESTION
        (_, _, body, key), *_ = server.requests
        assert (body["max_tokens"], body["temperature"], key) == (50, 0, f"Bearer {KEY}")
        before = len(server.requests)
        ask(dataset, server, overwrite=True)
        assert len(server.requests) == before
    assert captions(dataset) == ["Who? Ana 0", "Who? Bo 4", None, "Who? Ana 0"]
    record = read_answers(dataset, "tiny")
    assert record["question"].tolist() == ["Who? Ana", "Who? Bo"]
    assert set(record["model"]) == {"tiny"}
    assert record["date"].notna().all()
    assert json.loads(record["parameters"][0])["image_side"] == 768
    sight, *answers = journal(dataset)
    assert sight["status"] == "ok"
    assert [answer["tokens_in"] for answer in answers] == [40, 40]
    assert answers[0]["cost"] == pytest.approx((40 * 1 + 12 * 2) / 1e6)
    assert not any(KEY.encode() in path.read_bytes() for path in dataset.root.rglob("*") if path.is_file())


def test_a_model_that_sees_nothing_is_refused_by_name(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    with FaultyServer(blind) as server:
        for _ in range(2):  # it may be mended meanwhile, so it is asked again
            with pytest.raises(ConfigError, match=r"'A portrait of a woman in front of a window\.' from tiny at http"):
                ask(dataset, server)
        assert server.names() == [QUESTION] * 2
        assert [line["status"] for line in journal(dataset)] == ["blind"] * 2
        assert captions(dataset) == [None, None]
        ask(dataset, server, check_sight=False)
    assert captions(dataset) == ["A portrait of a woman in front of a window."] * 2


def test_a_server_that_fails_at_the_first_question_is_not_called_blind(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    for code, status in ((500, "server_error"), (400, "rejected")):
        broken = (code, {}, {"error": {"message": "no"}})
        with (
            FaultyServer(lambda *_, answer=broken: answer) as server,
            pytest.raises(ConfigError, match=f"none in 1 tries; the last: {status}"),
        ):
            ask(dataset, server, retries=0)
    assert journal(dataset) == []


def test_a_server_that_wants_no_more_requests_or_fails_until_the_budget_is_spent_is_not_called_blind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    away = (429, {"Retry-After": "3600"}, {"error": {"message": "tomorrow"}})
    with FaultyServer(lambda *_: away) as server:
        ask(dataset, server)
    assert "the server asks to wait for 3,600 s" in " ".join(capsys.readouterr().out.split())
    with FaultyServer(lambda *_: (500, {}, {})) as server:
        ask(dataset, server, max_requests=1)
    assert [line["status"] for line in journal(dataset)] == ["rate_limited", "server_error"]


def test_an_image_under_two_names_is_asked_about_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]], mention=["Ana", "Ana"])
    (dataset.image_root / "2.png").write_bytes((dataset.image_root / "1.png").read_bytes())
    with FaultyServer(sees) as server:
        ask(dataset, server, concurrency=1)
        assert len(server.requests) == 2
    assert captions(dataset) == ["Who? Ana 0"] * 2


def test_a_copy_with_other_times_is_not_paid_for_again_also_in_a_notebook(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])

    async def cell(server: FaultyServer) -> None:
        ask(dataset, server, overwrite=True)

    with FaultyServer(sees) as server:
        asyncio.run(cell(server))
        os.utime(dataset.image_root / "1.png", (0, 0))
        ask(dataset, server, overwrite=True)
        assert len(server.requests) == 3
    assert None not in captions(dataset)


def test_a_model_that_is_cut_before_it_tells_is_refused_with_the_remedy(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    with (
        FaultyServer(lambda *_: (200, {}, completion("<think> The picture shows", "length"))) as server,
        pytest.raises(ConfigError, match="raise max_tokens"),
    ):
        ask(dataset, server)


def test_no_sentence_without_the_picture_tells_it() -> None:
    picture = SightPicture(("red", "black", "blue"), 47)
    assert picture.is_told_by(look_at(picture.image))
    assert picture.is_told_by("red black blue 47")
    for colours in permutations(("red", "black", "blue")):
        assert picture.is_told_by(f"{', '.join(colours)}: 47") == (colours == picture.colours)
    for said in ("", "47", "red, black, blue", "red, black, blue 147", "red, white, black, blue 47"):
        assert not picture.is_told_by(said)
    assert data_url(picture.image, 768).startswith("data:image/jpeg;base64,")


def test_a_budget_stops_before_it_is_passed_and_the_next_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in range(1, 7)])
    with FaultyServer(sees) as server:
        ask(dataset, server, max_requests=3, concurrency=1)
        assert len(server.requests) == 3
        assert sum(said is not None for said in captions(dataset)) == 2
        said = capsys.readouterr().out
        assert "stopped   before the next call: max_requests 3 (3 sent)" in said
        assert "sent      3 requests, 120 tokens in, 36 out" in said
        ask(dataset, server)
        assert len(server.requests) == 7
        assert None not in captions(dataset)
        with pytest.raises(ConfigError, match="room in the budget"):
            ask(dataset, server, model="other", overwrite=True, max_requests=0)
        with pytest.raises(ConfigError, match="room in the budget"):
            ask(dataset, server, model="other", overwrite=True, max_total_tokens=1000)  # an image may take more
        assert len(server.requests) == 7


def test_what_is_refused_cut_or_fails_is_no_caption_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "Ana": (200, {}, completion("I'm sorry, I can't identify people in pictures.")),
        "Bo": (200, {}, completion("A man who", "length")),
        "Cy": (400, {}, {"error": {"message": "no such field"}}),
    }

    def script(number: int, question: str, body: Body) -> Any:
        return answers.get(question.removeprefix("Who? ")) or sees(number, question, body)

    names = ["Ana", "Bo", "Cy", "Dan"]
    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in range(1, 5)], mention=names)
    with FaultyServer(script) as server:
        ask(dataset, server, retries=0)
        assert captions(dataset) == [None, None, None, "Who? Dan 0"]
        said = capsys.readouterr().out
        for status, path in (("refused", "1.png"), ("truncated", "2.png"), ("rejected", "3.png")):
            assert f"failed    1 {status}, such as {path}: " in said
        answers.clear()
        before = len(server.requests)
        ask(dataset, server, retries=0)
        assert sorted(server.names()[before:]) == ["Who? Ana", "Who? Bo", "Who? Cy"]
    assert captions(dataset) == [f"Who? {name} 0" for name in names]


def test_what_a_server_rejects_ends_nothing_once_it_has_answered(tmp_path: Path) -> None:
    def script(number: int, question: str, body: Body) -> Any:
        if question != QUESTION and image_of(body).convert("RGB").getpixel((0, 0))[0] < 100:
            return 400, {}, {"error": {"message": "too dark"}}
        return sees(number, question, body)

    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in (*range(1, 13), *range(201, 206))])
    with FaultyServer(script) as server:
        ask(dataset, server, retries=0, max_requests=14)
        ask(dataset, server, retries=0, max_requests=5)  # what failed comes last
    assert sum(said is not None for said in captions(dataset)) == 5


def test_the_captions_that_came_before_the_server_broke_are_written(tmp_path: Path) -> None:
    def script(number: int, question: str, body: Body) -> Any:
        return sees(number, question, body) if len(server.requests) < 5 else (500, {}, {})

    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in range(1, 17)])
    with FaultyServer(script) as server, pytest.raises(ConfigError, match="none in 10 questions in a row"):
        ask(dataset, server, retries=0, concurrency=1)
    assert sum(said is not None for said in captions(dataset)) == 3


def test_an_image_that_cannot_be_used_is_told_and_the_next_one_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path, [["1.png", "210.png"], ["2.png"], ["3.png"], ["4.png"], ["5.png"]])
    for name in ("1.png", "2.png"):
        (dataset.image_root / name).write_bytes(b"no image")
    with FaultyServer(sees) as server:
        ask(dataset, server)
        assert len(server.requests) == 5
    said = captions(dataset)
    assert said[0] == "Who? Ana 0 4"
    assert said[1] is None
    assert "unusable  2 " in capsys.readouterr().out
    with FaultyServer(sees) as server:
        ask(Dataset(dataset.root), server)  # one of five is unusable, whatever of the rest was asked before
        assert server.requests == []  # and no question about sight, where there is nothing to see
    for name in ("3.png", "4.png", "5.png"):
        (dataset.image_root / name).write_bytes(b"no image")
    with FaultyServer(sees) as server, pytest.raises(DataError, match="images"):
        ask(Dataset(dataset.root), server, model="other", overwrite=True)


def test_another_image_under_the_same_name_or_another_question_is_asked_about(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    with FaultyServer(sees) as server:
        ask(dataset, server)
        Image.new("RGB", (40, 40), (250, 0, 0)).save(dataset.image_root / "2.png")
        ask(dataset, server, overwrite=True)
        assert captions(dataset) == ["Who? Ana 0 0", "Who? Ana 1 5"]
        assert len(server.requests) == 4
        ask(dataset, server, overwrite=True, question="Where?")
        assert captions(dataset) == ["Where? 0", "Where? 5"]
    assert len(read_answers(dataset, "tiny")) == 4


def stalling_server() -> FaultyServer:
    """It answers the question about sight and four others, and no more."""

    def stalls(number: int, question: str, body: Body) -> Any:
        if len(server.requests) > 5:
            server.leave.wait()
        return sees(number, question, body)

    server = FaultyServer(stalls)  # which the script reads
    return server


def captioning(
    dataset: Dataset, server: FaultyServer, log: Path
) -> AbstractContextManager[tuple[int, Callable[[], int]]]:
    """`dim caption` in a process of its own, with one question at a time."""
    options = ["--server.model", "tiny", "--server.concurrency", "1", "--server.question", "Who? {mention}"]
    return command(["caption", str(dataset.root), *options], log, environment=environment_of(server.url))


@pytest.mark.long
def test_a_kill_loses_no_answer(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in range(1, 9)], mention=[f"Ana {n}" for n in range(8)])
    with stalling_server() as server, captioning(dataset, server, tmp_path / "log") as (child, ended):
        wait_until(lambda: len(journal(dataset)) == 5)
        os.kill(child, signal.SIGKILL)
        assert ended() == -signal.SIGKILL
    assert captions(dataset) == [None] * 8
    with FaultyServer(sees) as server:
        ask(dataset, server)
        assert len(server.requests) == 5
        assert server.names()[0] == QUESTION  # another address is another server
    assert None not in captions(dataset)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_ctrl_c_and_sigterm_leave_the_captions_that_came_written(tmp_path: Path, number: int) -> None:
    dataset = make_dataset(tmp_path, [[f"{n}.png"] for n in range(1, 9)], mention=[f"Ana {n}" for n in range(8)])
    with stalling_server() as server, captioning(dataset, server, tmp_path / "log") as (child, ended):
        wait_until(lambda: len(server.requests) == 6)
        os.kill(child, number)
        assert ended() == 128 + number
    said = (tmp_path / "log").read_text()
    assert "what is finished is kept" in said
    assert "sent      6 requests, 200 tokens in, 60 out; 1 cut off in flight" in said
    assert sum(each is not None for each in captions(Dataset(dataset.root))) == 4


def test_an_answer_from_before_further_fields_is_known_and_with_them_another_question() -> None:
    server, further = CaptionServer("tiny"), CaptionServer("tiny", request_fields={"top_p": 0.5})
    assert server.request_hash("Who?", "state") == content_hash("tiny", "768", "0.0", "0", "Who?", "state")
    assert server.fingerprint.endswith("?', temperature=0.0, seed=0, image_side=768)")
    assert further.request_hash("Who?", "state") != server.request_hash("Who?", "state")
    assert "top_p" in further.fingerprint
    assert further.parameters["request_fields"] == {"top_p": 0.5}


def test_time_outs_are_told_with_the_options_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(number: int, question: str, body: Body) -> Any:
        if question == "Who? Bo" and number == 0:
            server.leave.wait(HANG)
        return sees(number, question, body)

    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]], mention=["Ana", "Bo"])
    with FaultyServer(script) as server:
        ask(dataset, server, timeout_s=2.0, backoff_s=0.01)
    assert None not in captions(dataset)
    said = capsys.readouterr().out
    assert re.search(r"sent      \d requests \(\d timed out\), .* are no server's count", said)
    assert re.search(r"time-outs --server\.concurrency \d --server\.timeout_s \d+ should do", said)


def test_there_is_one_way_to_captions_at_a_time(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    (tmp_path / "said.csv").write_text("mention_id,caption\nm0,hello\n")
    server = CaptionServer("tiny", "http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="--import_from and --server"):
        caption(dataset.root, server=server, import_from=tmp_path / "said.csv")
    with pytest.raises(ConfigError, match="engine local"):
        caption(dataset.root, server=server, engine="ray")
    for wrong in ({"image_side": 0}, {"concurrency": 0}, {"retries": -1}, {"timeout_s": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            CaptionServer("tiny", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at most 2,048"):
        CaptionServer("tiny", image_side=4000)
    with pytest.raises(ConfigError, match="a model as the server calls it"):
        CaptionServer(" ")
    assert question_of({"messages": [{"content": "plain"}]}) == "plain"


@pytest.mark.long
def test_a_real_server_that_drops_the_image_is_found_out(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    model = write_tiny_model(tmp_path / "tiny", ["a", "portrait", "of", "red", "blue", "woman", "47"])
    with (
        transformers_serve(model, tmp_path / "serve.log") as url,
        pytest.raises(ConfigError, match="a model that sees images"),
    ):
        caption(dataset.root, server=CaptionServer(str(model), url, timeout_s=HANG))
    assert [line["status"] for line in journal(dataset, "tiny")] == ["blind"]
    assert captions(dataset) == [None, None]
