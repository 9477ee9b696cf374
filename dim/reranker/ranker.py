"""The learned ranker: features of a mention's candidates in, calibrated probabilities with their evidence out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from dim.core.arrays import Doubles, Rows
from dim.core.files import hash_parts, regular
from dim.core.output import Kind, output_folder
from dim.core.sealed import open_sealed, seal
from dim.errors import CheckpointError, DataError
from dim.reranker.calibration import Absence, fit_temperature, softmax
from dim.reranker.lists import Lists
from dim.reranker.network import RankerNetwork, scores_of, train
from dim.reranker.nil import describe_lists, threshold_for, train_nil

CONTENT, FORMAT = "ranker", 2
WEIGHTS, FACTS = "ranker.safetensors", "ranker.json"
HIDDEN_OF_NIL = 16  #: Hidden units of the networks that tell NIL.
REMEDY = "Run dim rank --run RUN again."
#: Of `dim rank`: they stand in a ranker's facts and beside its figures.
OPTIONS = ("folds", "num_candidates", "nil_precision", "nil_share", "unseen")


@dataclass(frozen=True)
class Judged:
    """What the ranker says of one mention's candidates.

    Attributes:
        order: [c] places in the list, the best first.
        scores: [c], in the order of the list.
        probabilities: [c], in the order of the list: given that the KB has the entity. What they lack of 1 is that none
            of the candidates is it.
        nil_probability: How probable it is that the KB has none of them; None where that was not trained.
        says_nil: Whether that reaches the threshold; False where there is none.
    """

    order: Rows
    scores: Doubles
    probabilities: Doubles
    nil_probability: float | None
    says_nil: bool

    @property
    def first_probability(self) -> float:
        """That of the first answer, be it a candidate or NIL; NaN where there is none."""
        if self.says_nil:
            return self.nil_probability or 0.0
        return float(self.probabilities[self.order[0]]) if len(self.order) else float("nan")


class Ranker:
    """A trained ranker.

    Args:
        network: Scores candidates.
        names: The features that it reads, in order.
        temperature: Of the softmax over a list.
        absence: That the entity is no candidate; None: of lists that always held it, as those of the shipped rankers.
        nil: Tells whether the KB has the entity, from `describe_lists`; None: not trained.
        nil_threshold: From which NIL probability on the answer is NIL; None: never.
        facts: Where it comes from: run, folds, seed, figures …
    """

    def __init__(
        self,
        network: RankerNetwork,
        names: tuple[str, ...],
        temperature: float = 1.0,
        nil: RankerNetwork | None = None,
        nil_threshold: float | None = None,
        facts: dict[str, Any] | None = None,
        absence: Absence | None = None,
    ) -> None:
        self.network, self.names, self.temperature, self.absence = network.eval(), names, temperature, absence
        self.nil, self.nil_threshold = None if nil is None else nil.eval(), nil_threshold
        self.facts = facts or {}

    @classmethod
    def fit(
        cls,
        lists: Lists,
        folds: Rows,
        names: tuple[str, ...],
        *,
        hidden: int = 64,
        seed: int = 0,
        epochs: int = 12,
        is_known: NDArray[np.bool_] | None = None,
    ) -> Ranker:
        """A ranker trained and calibrated on lists whose features come from out-of-fold vectors.

        One small network a fold is trained without the fold; each fold calibrates the network that did not see it,
        and the ranker is the mean of all.

        Args:
            lists: The candidates of training mentions; those without their gold teach how probable that is, no more.
            folds: [n], 0 to the number of folds - 1.
            names: The features' names.
            hidden: Hidden units.
            seed: Of weights, order and dropout.
            epochs: Rounds through the lists.
            is_known: [n], whether the KB has the mention's entity; None: of all.

        Raises:
            DataError: No list holds its gold.
        """
        kept = np.flatnonzero(lists.gold >= 0)
        if not len(kept):
            raise DataError(
                "training mentions whose candidates hold the gold", "none", "Raise --num_candidates, or train longer."
            )
        torch.manual_seed(seed)
        network = RankerNetwork(len(names), hidden, int(folds.max()) + 1)
        usable = lists.take(kept)
        train(network, usable, folds[kept], seed=seed, epochs=epochs)
        table = usable.table(scores_of(network, usable, folds[kept])).astype(np.float64)
        ranker = cls(network, names, fit_temperature(table, usable.gold))
        asked = np.flatnonzero((np.diff(lists.starts) > 0) & (True if is_known is None else is_known))
        told = lists.take(asked)
        scores = told.table(scores_of(network, told, folds[asked])).astype(np.float64)
        top = np.array([softmax(own, ranker.temperature).max() for own in scores])
        ranker.absence = Absence.fit(top, told.gold < 0)
        return ranker

    def fit_nil(
        self, lists: Lists, folds: Rows, is_nil: NDArray[np.bool_], share: float, *, seed: int = 0
    ) -> tuple[Doubles, Doubles]:
        """Trains the NIL probability on lists, some of whose golds were taken out of the KB.

        Args:
            lists: The lists, whose features know nothing of what was taken out.
            folds: [n].
            is_nil: [n], which are NIL.
            share: The share of mentions that shall be NIL where the linker is used; NIL lists are weighted to it.
            seed: Of weights, order and dropout.

        Returns:
            The NIL probability of each list by networks that did not see its fold, and each list's weight, for
            `threshold_for`.
        """
        torch.manual_seed(seed)
        described = describe_lists(lists, scores_of(self.network, lists, folds))
        weights = np.where(is_nil, share / is_nil.mean(), (1 - share) / (~is_nil).mean())
        self.nil = RankerNetwork(described.shape[1], HIDDEN_OF_NIL, int(folds.max()) + 1)
        train_nil(self.nil, described, is_nil, weights, folds, seed=seed)
        with torch.inference_mode():
            votes = self.nil.vote(torch.from_numpy(described)).sigmoid().numpy().astype(np.float64)
        return votes[folds, np.arange(len(folds))], weights

    def choose_threshold(
        self, probabilities: Doubles, is_nil: NDArray[np.bool_], weights: Doubles, precision: float
    ) -> None:
        """Sets the threshold of NIL for a precision; none where it cannot be reached."""
        self.nil_threshold = threshold_for(probabilities, is_nil, precision, weights)

    def judge(self, lists: Lists, folds: Rows | None = None) -> list[Judged]:
        """What it says of each list; an empty list gets empty answers.

        Args:
            lists: The candidates of n mentions.
            folds: [n], of lists that it learned of: each is judged by the network that did not see its fold, and of NIL
                nothing is said. None: by all networks.

        Raises:
            DataError: The features are not those that it was trained on.
        """
        if lists.features.shape[1] != len(self.names):
            raise DataError(
                f"the {len(self.names)} features of the ranker ({', '.join(self.names[:3])} …)",
                str(lists.features.shape[1]),
                "Use the encoders that its run was trained with.",
            )
        scores = scores_of(self.network, lists, folds).astype(np.float64)
        nil = None if folds is not None else self._nil_probabilities(lists, scores.astype(np.float32))
        found = []
        for place, (start, end) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
            part = scores[start:end]
            probabilities = softmax(part, self.temperature)
            if self.absence is not None and len(part):
                probabilities *= 1 - self.absence.of(float(probabilities.max()))
            missing = None if nil is None else float(nil[place])
            found.append(
                Judged(
                    order=np.argsort(-part, kind="stable"),
                    scores=part,
                    probabilities=probabilities,
                    nil_probability=missing,
                    says_nil=missing is not None and self.nil_threshold is not None and missing >= self.nil_threshold,
                )
            )
        return found

    def _nil_probabilities(self, lists: Lists, scores: NDArray[np.float32]) -> Doubles | None:
        if self.nil is None:
            return None
        found = np.ones(len(lists))
        filled = np.flatnonzero(np.diff(lists.starts))
        if len(filled):
            part = lists.take(filled)
            with torch.inference_mode():
                logits = self.nil.vote(torch.from_numpy(describe_lists(part, scores)))
            found[filled] = logits.sigmoid().mean(0).numpy()
        return found

    @property
    def fingerprint(self) -> str:
        """Names what its probabilities come from: its weights, and its calibration."""
        parts = (value.numpy().tobytes() for value in self._tensors().values())
        return hash_parts([str(self.temperature), str(self.absence), *parts])

    def _tensors(self) -> dict[str, torch.Tensor]:
        networks = {"network": self.network} | ({} if self.nil is None else {"nil": self.nil})
        return {
            f"{part}.{name}": value.contiguous()
            for part, made in networks.items()
            for name, value in made.state_dict().items()
        }

    def save(self, folder: Path) -> None:
        """Writes the ranker as one sealed folder: its weights, and ranker.json with their checksum and all else.

        The folder is replaced in one step: killed at any moment, the old or the new ranker is there.

        Raises:
            ConfigError: The folder holds other files, or another process writes it.
            StorageError: The disk is full, or it may not be written.
        """
        document = {
            "features": list(self.names),
            "temperature": self.temperature,
            "absence": None if self.absence is None else asdict(self.absence),
            "nil_threshold": self.nil_threshold,
            **self.facts,
        }
        with output_folder(folder, RANKER, "a save of a ranker", overwrite=True) as place:
            (place / WEIGHTS).write_bytes(save(self._tensors()))  # save_file lets nobody else read the file
            seal(place, CONTENT, FORMAT, document, FACTS)

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """The ranker of a folder.

        Raises:
            CheckpointError: There is none, it is damaged, or of another version.
        """
        try:
            document = open_sealed(folder, CONTENT, FORMAT, FACTS, REMEDY)
            tensors = load_file(regular(folder / WEIGHTS))
        except DataError as error:
            raise CheckpointError(error.expected, error.found, error.remedy) from error
        except (OSError, SafetensorError) as error:
            raise _unreadable(folder, error) from error
        own = ("content", "format_version", "files", "features", "temperature", "absence", "nil_threshold")
        try:
            return cls(
                _restore(tensors, "network"),
                tuple(document["features"]),
                document["temperature"],
                _restore(tensors, "nil") if "nil.first" in tensors else None,
                document["nil_threshold"],
                {name: value for name, value in document.items() if name not in own},
                None
                if (known := document.get("absence")) is None
                else Absence(float(known["base"]), float(known["slope"])),
            )
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> CheckpointError:
    found = f"{type(error).__name__}: {error}"
    return CheckpointError(f"a ranker at {folder} ({FACTS}, {WEIGHTS})", found, REMEDY)


def _stands_at(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (FACTS, WEIGHTS))


#: For `dim.core.output`.
RANKER = Kind("a ranker", _stands_at, lambda _: (FACTS, WEIGHTS))


def _restore(tensors: dict[str, torch.Tensor], part: str) -> RankerNetwork:
    votes, num_features, hidden = tensors[f"{part}.first"].shape
    network = RankerNetwork(num_features, hidden, votes)
    network.load_state_dict(
        {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
    )
    return network
