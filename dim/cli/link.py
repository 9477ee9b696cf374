"""`dim link`, `dim export` and `dim index`: a linker from the command line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from dim.cli.next_steps import say_next
from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.display.counts import count_of
from dim.display.terminal import Console
from dim.encoders.device import Backend, EncoderPrecision
from dim.errors import ConfigError
from dim.judge.folder import SAVED
from dim.linker import Linker, Question
from dim.linker.answer import asked_alone
from dim.linker.backend_check import MOST_LOST, NUM_MEASURED, Measuring, check_backend_answers
from dim.linker.backends import with_backend
from dim.linker.changed import changed_folder
from dim.linker.folder import LINKER
from dim.linker.given import check_top_k
from dim.linker.job import Options, link_file
from dim.linker.opening import open_linker
from dim.linker.reopened import check_opens
from dim.linker.shown import say_calibration, show


def link(
    model: str,
    mention: str = "",
    context: str = "",
    image: Path | None = None,
    candidates: list[str] | str | None = None,
    top_k: int = 5,
    as_json: bool = False,
    input: Path | None = None,  # noqa: A002 - the option is --input
    output: Path | None = None,
    evidence: bool = False,
    encoding: str | None = None,
    batch_size: int = 256,
    device: str = "auto",
    trust: str | None = None,
    dataset: Path | None = None,
    image_root: Path | None = None,
    judge: str = SAVED,
) -> None:
    """Links one mention, or each row of a file, to the entities of a linker's KB.

    A file is read and answered in batches; interrupted, the same command goes on where it stood.

    Args:
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub.
        mention: The name as it stands in the text.
        context: The text around it.
        image: An image that belongs to it.
        candidates: Ids of the entities that compete, a list or one text with `|` between them; the default is the whole
            KB.
        top_k: Answers a mention at most.
        as_json: JSON, with all evidence, in the place of a readable list.
        input: A table in the place of one mention (.csv, .tsv, .jsonl, .parquet): `mention`, and `context`, `image`
            (from here, or beside the table), `candidates` where known; `start` and `end` of the mention in its context
            are checked; other columns are kept, but those that the answers take.
        output: Where its answers go, by its name in JSON lines (.jsonl), .csv, .tsv or .parquet: the row that was read,
            with its answers or its error.
        evidence: Write what each score was made of, too: about 50 numbers an answer.
        encoding: Of the input's text; the default is what its first bytes tell, or UTF-8.
        batch_size: Rows that are answered at once.
        device: `auto`, `cpu`, `cuda` …
        trust: Packages, separated by commas, whose classes the linker's folder may name; they are imported.
        dataset: Of a run, where its dataset stands now, if it has moved.
        image_root: Of a linker's folder, where the images of its KB stand that are not in it; answers name no others.
        judge: Who reads the mentions that the ranker is not sure of, where `dim judge` set one up: `saved`, `none`, or
            the URL of the server that has its model.
    """
    check_top_k(top_k)
    asks_alone = bool(mention or context or image or candidates)
    if (input is None) != (output is None) or (input is not None and asks_alone):
        raise ConfigError(
            "one --mention (with --context, --image, --candidates), or --input FILE with --output FILE",
            "a mixture of both" if asks_alone else "one of the two files",
            "Take one of them out." if asks_alone else "Name the other, too.",
        )
    if input is None:
        if not mention and image is None:
            raise ConfigError("--mention, --image, or --input FILE with --output FILE", "none", "Say what to link.")
        if evidence or encoding:
            used = "evidence" if evidence else "encoding"
            raise ConfigError(f"--{used} beside --input", "none", "Use --as_json true: it has all evidence.")
        question = Question(mention, context, image, candidates)
        with asked_alone():
            linker = open_linker(model, device, trust, dataset, image_root, judge)
            if as_json:  # which names the images of answers
                linker.knowledge.tell_of_images_elsewhere()
            show(linker.link_batch([question], top_k)[0], as_json)
        say_calibration(linker)
    else:
        assert output is not None
        if as_json:
            raise ConfigError(
                "--as_json for one --mention", "--input", "The name of --output says the format: x.jsonl."
            )
        with folder_lock(output, "dim link"):
            options = Options(model, top_k, batch_size, device, evidence, encoding, trust, dataset, image_root, judge)
            link_file(input, output, options)


def export(
    run: Path,
    folder: Path,
    index: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto",
    images: Literal["copies", "paths", "none"] = "paths",
    overwrite: bool = False,
    trust: str | None = None,
    verify: bool = True,
    dataset: Path | None = None,
    backend: Backend | None = None,
    precision: EncoderPrecision | None = None,
    max_loss: float = MOST_LOST,
    num_measured: int = NUM_MEASURED,
) -> None:
    """Writes the linker of a run into one folder: weights, KB, index, local encoders, a model card; no pickle.

    Before the folder takes its name, a new process opens it and answers a question; where that fails, what stood there
    stays.

    Args:
        run: A folder that `dim fit` wrote.
        folder: Where the linker shall stand: a new or empty path.
        index: How vectors are searched; `auto` chooses by the size of the KB.
        images: `copies` of the KB's images, that go where the folder goes, their `paths` on this machine (opened with
            --image_root), or `none`.
        overwrite: Whether a linker that stands there may be replaced.
        trust: Packages, separated by commas, whose classes run and linker may name beside dim's; whoever opens it
            needs them installed, and says the same.
        verify: Open what was written in a new process, which loads the linker and its encoders once more: some seconds,
            for large models as long, and as much memory again, as loading them takes.
        dataset: Where the run's dataset stands now, if it has moved.
        backend: What computes the text encoder of the linker on a CPU: `torch`, `onnx`, `openvino` or `auto` (see
            `TransformersTextEncoder`); None: as in the run. Its export goes along, and its answers are compared with
            those of the run's own encoder.
        precision: Of that backend; None: as in the run. `int8` (of `onnx` and `openvino`) has other vectors: Top-1 is
            measured on mentions of the run's dev split (else tune), asked one by one and in batches.
        max_loss: Points of Top-1 that int8 may lose there; where it loses more, nothing is written.
        num_measured: Mentions that are asked for that, at most.
    """
    check_target(folder, LINKER, sources=[run], overwrite=overwrite)  # before long work
    trusted = trusted_by(trust)
    measuring = Measuring(max_loss, num_measured, dataset)
    linker = Linker.from_checkpoint(run, index=index, dataset=dataset, trusted=trusted)
    check: Callable[..., None] | None = check_opens if verify else None
    if backend is not None or precision is not None:
        linker.about = with_backend(linker.about, linker.live, backend, precision)
        check = partial(check_backend_answers, measuring=measuring)
    linker.save(folder, images, overwrite, trusted, check and partial(check, linker=linker, trusted=trusted))
    _say_index(linker)
    if check is check_opens:
        Console().say("opened: in a new process, with the same answers")
    root = _image_root(linker) if images == "paths" else None
    say_next(
        f"{folder} ({_size(folder) / 1e6:,.0f} MB, {count_of(len(linker), 'entity')})", linker, folder, root, trusted
    )


def index(
    folder: Path,
    kind: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto",
    storage: Literal["float16", "int8", "int4"] = "float16",
    trust: str | None = None,
) -> None:
    """Builds the index of a linker's folder anew, such as after many entities were added, or of another kind.

    Args:
        folder: A folder that `dim export` or `Linker.save` wrote.
        kind: `auto` chooses by the size of the KB.
        storage: Of a coordinate in `ivf` and `hnsw`. `int4`, of `ivf` alone, keeps 4 bits in memory, which choose
            candidates, and float16 on the disk, which scores them.
        trust: Packages, separated by commas, whose classes the folder may name beside dim's; they are imported.
    """
    with changed_folder(folder, "dim index", trust) as linker:
        linker.rebuild_index(kind, storage)
    _say_index(linker)
    Console().say(f"written: {folder}")


def _image_root(linker: Linker) -> str | None:
    """The folder that holds the images of a run's KB; None: it has none."""
    pictured = ((entity.id, entity.images[0]) for entity in linker if entity.images)
    if (first := next(pictured, None)) is None:
        return None
    entity_id, image = first
    return str(linker.knowledge.image_root(linker.knowledge.row(entity_id), image))


def _say_index(linker: Linker) -> None:
    if (found := linker.index) is None:
        return
    recall = ""
    if found.kind != "exact":
        of = "mentions of tune" if found.recall_queries is not None else "vectors of the KB with noise"
        recall = f", recall@10 {found.recall.at_10:.3f}, @{found.recall.k} {found.recall.at_k:.3f}"
        recall += f" over {found.recall.num_queries:,} {of}"
    storage = f" as {found.parameters['storage']}" if "storage" in found.parameters else ""
    Console().say(f"index: {found.kind}, {len(found):,} vectors of {found.width}{storage}{recall}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
