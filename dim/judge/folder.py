"""A stage on disk: `judge.json`, and the files of a judge whose model goes along; nothing in it is unpickled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dim.core.known_classes import Chosen, KnownClasses, made
from dim.core.output import output_folder
from dim.core.sealed import Manifest, open_sealed, seal, sealed_kind
from dim.display.log import log
from dim.errors import CheckpointError, ConfigError, DataError
from dim.judge.contract import Judge
from dim.judge.stage import JudgeStage
from dim.judge.weights import JudgeWeights
from dim.reranker.ranker import Ranker

LOG = log("dim")
CONTENT, FORMAT, FACTS, MODEL = "judge", 1, "judge.json", "model"
REMEDY = "Run dim judge RUN again."
SAVED = "saved"
_URL = re.compile(r"https?://[^/\s]+")
#: Of a judge that a linker asks at a URL: somebody waits for the answer, and the ranker has one.
PATIENCE = {"timeout_s": 20.0, "retries": 1}

#: For `dim.core.output`.
JUDGE = sealed_kind("a judge", [CONTENT], FACTS)


class Weights(TypedDict):
    """As of `JudgeWeights`."""

    ranker: float
    judge: float
    others: float
    num: int


class StageManifest(Manifest):
    """What judge.json says."""

    judge: dict[str, Any]
    label: str
    fingerprint: str
    weights: Weights
    threshold: float
    top_k: int
    ranker: str
    facts: dict[str, Any]
    has_model: NotRequired[bool]
    lacks_template: NotRequired[bool]


def save_stage(stage: JudgeStage, ranker: Ranker, folder: Path, with_model: bool) -> None:
    """Writes a stage into a folder, in the place of one that stands there.

    Args:
        stage: It.
        ranker: Over whose candidates it judges: with another one its weights mean nothing.
        folder: Where it shall stand.
        with_model: Whether the files of the judge's model are copied; else its path is named.

    Raises:
        ConfigError: Something else stands there.
    """
    with output_folder(folder, JUDGE, "a save of a judge", overwrite=True) as place:
        saved, fingerprint = stage.judge.saved(), stage.fingerprint
        lacks_template = stage.is_muted and fingerprint != stage.judge.fingerprint
        if with_model and saved["init_args"].get("template") is not None:
            saved["init_args"]["template"] = None  # whoever opens it gives the judge: a template is a program
            lacks_template = True
        for name in ("path", "template"):  # as the command was given it, from where that was run
            if (given := saved["init_args"].get(name)) and Path(given).exists():
                saved["init_args"][name] = str(Path(given).absolute())
        copied = stage.judge.write_model(place / MODEL) if with_model else None
        if copied is not None:
            saved["init_args"].pop("path")
            fingerprint = fingerprint if stage.is_muted else copied.fingerprint
        elif (path := saved["init_args"].get("path")) and Path(path).is_relative_to(folder.parent.absolute()):
            saved["init_args"]["path"] = str(Path(path).relative_to(folder.parent.absolute()))  # they move together
        seal(
            place,
            CONTENT,
            FORMAT,
            {
                "judge": saved,
                "label": stage.judge.label,
                "fingerprint": fingerprint,
                "weights": asdict(stage.weights),
                "threshold": stage.threshold,
                "top_k": stage.top_k,
                "ranker": ranker.fingerprint,
                "facts": stage.facts,
                "has_model": copied is not None,
                "lacks_template": lacks_template,
            },
            FACTS,
        )


def open_stage(
    folder: Path,
    ranker: Ranker | None,
    judge: Judge | str = SAVED,
    device: str = "auto",
    trusted: Sequence[str] = (),
    is_ours: bool = False,
) -> JudgeStage | None:
    """The stage of a folder.

    A judge behind a server is not asked because a folder says so, which names no address anyway: questions would go to
    whomever OPENAI_BASE_URL names. Whoever wants it gives it, or its URL.

    Args:
        folder: As `save_stage` wrote it.
        ranker: Over whose candidates it judges.
        judge: `saved`: the one that the folder names; a URL: its server's; a judge: in its place, with its weights, and
            the same by its fingerprint.
        device: Where it computes.
        trusted: What the names of classes outside dim may begin with, such as `my_package.`.
        is_ours: Whether it is that of a run, which names places on this machine; a linker's folder may not.

    Returns:
        It, muted where the judge is behind a server that was not given, or asked by a template of its own; None for a
        run whose ranker is another now. A warning says so.

    Raises:
        DataError: The folder is damaged, or names a class that is neither dim's nor trusted.
        CheckpointError: It belongs to another ranker than the linker's.
        ConfigError: `judge` is another than the one whose weights these are, or a URL, and the judge has no server.
    """
    manifest = open_sealed(folder, CONTENT, FORMAT, FACTS, REMEDY, StageManifest)
    if ranker is None or ranker.fingerprint != manifest["ranker"]:
        if not is_ours:
            raise CheckpointError(f"the ranker that the judge in {folder} was set up with", "another, or none", REMEDY)
        LOG.warning("%s was set up with another ranker and is not asked; dim judge RUN sets it up anew", folder)
        return None
    given, is_muted = _given(folder, manifest, judge, device, trusted, is_ours)
    if not is_muted and given.fingerprint != manifest["fingerprint"]:
        raise ConfigError(
            f"the judge whose weights were learned ({manifest['fingerprint']})",
            given.fingerprint,
            "Run dim judge RUN with this one, or give the one that it was run with.",
        )
    weights = JudgeWeights(**manifest["weights"])
    found = JudgeStage(given, weights, manifest["threshold"], manifest["top_k"], manifest["facts"], is_muted)
    found.learned_with = manifest["fingerprint"]
    return found


def _given(
    folder: Path, manifest: dict[str, Any], judge: Judge | str, device: str, trusted: Sequence[str], is_ours: bool
) -> tuple[Judge, bool]:
    """The judge, and whether it is muted."""
    from dim.judge.named import CLASSES, ServerJudge

    if isinstance(judge, Judge):
        return judge, False
    if judge != SAVED and not _URL.match(judge):
        remedy = "Such as http://localhost:8000/v1."
        raise ConfigError("`saved`, nobody (`none` on a command line), or the URL of a judge's server", judge, remedy)
    chosen = KnownClasses(CLASSES, trusted, "a judge").read(manifest["judge"], Judge, "judge")
    if not is_ours and chosen.options.get("template") is not None:
        found = str(chosen.options["template"])[:200]
        raise DataError("a judge that names no template, which is a program", found, "Save the linker again.")
    is_served, lacks_template = issubclass(chosen.kind, ServerJudge), manifest.get("lacks_template", False)
    if judge != SAVED and not is_served:
        raise ConfigError("a judge behind a server beside a URL", f"{chosen.kind.__name__}", "Leave the URL out.")
    if is_served:
        if judge == SAVED:
            LOG.warning(
                "the judge %s is behind a server, which is asked where you name its URL (--judge URL, or judge=); "
                "without it answers are the ranker's",
                manifest["label"],
            )
        chosen.options.update({"base_url": None} if judge == SAVED else {"base_url": judge, **PATIENCE})
    else:
        if lacks_template:
            LOG.warning(
                "the judge %s asked by a template of its own, which does not travel; it is asked where you give it "
                "(judge=); without it answers are the ranker's",
                manifest["label"],
            )
        _place(chosen, folder, manifest, is_ours)
        chosen.options["device"] = device
    found = made(chosen)
    assert isinstance(found, Judge)
    return found, judge == SAVED and (is_served or lacks_template)


def _place(chosen: Chosen, folder: Path, manifest: dict[str, Any], is_ours: bool) -> None:
    """Says where the judge's model stands."""
    if manifest.get("has_model"):
        chosen.options["path"] = str(folder / MODEL)
        return
    path = str(chosen.options.get("path"))
    if is_ours and (inside := folder.parent / path).exists():
        chosen.options["path"] = str(inside.absolute())
        return
    is_here = Path(path).exists()
    if is_here and not is_ours:
        found = f"{path[:200]}, a place on this machine"
        raise DataError("a judge's model inside the linker's folder, or an id on a hub", found, "Save it again.")
    if not is_here and Path(path).is_absolute():
        raise DataError(f"the judge's model at {path[:200]}", "nothing", REMEDY)
