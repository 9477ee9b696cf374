"""The data of a run: a dataset's features as tensors, its golds and splits, and batches of mention rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dim.core.distributed import process_of_run
from dim.core.jobs import Dtype, Executor
from dim.core.ray_cluster import Engine, open_executor
from dim.core.tables import column_hashes
from dim.core.templates import CONTEXT_TEMPLATE
from dim.data import dataset as records
from dim.data.missing_images import MAX_MISSING_IMAGES, check_limit
from dim.encoders.base import (
    ENCODERS,
    Captioner,
    ImageEncoder,
    SparseTextEncoder,
    TextEncoder,
    TrainableTextEncoder,
    is_trained,
)
from dim.errors import ConfigError, DataError
from dim.evaluation.protocols import FullKB, Protocol
from dim.features.batch import FeatureTable, SparseTable
from dim.features.embed import FieldFeatures, embed_dataset
from dim.features.fields import BEFORE, FIELDS, Choices, ContextReach, Field, check_fields, fields_of
from dim.features.image_counts import used_images
from dim.features.inputs import Inputs
from dim.features.shuffle import derange
from dim.features.trained import TrainedTable
from dim.inference.data import LinkingData as LinkingData  # packages of others name them here
from dim.inference.data import Needs as Needs
from dim.releases.prepare import open_dataset

#: Fingerprints that stand only where an option is not at its default, and change what the weights saw.
AT_DEFAULT = ("text_template", "name_alone", "num_images")


class EpochBatches(Sampler[Tensor]):
    """Shuffled batches of rows, a new order in every epoch, the same for the same (seed, epoch).

    Args:
        rows: [n] int64.
        batch_size: Rows a batch; a last batch of one row is left out (it has no negatives), unless all are of one.
        seed: The run's seed.
    """

    def __init__(self, rows: Tensor, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (len(self.rows) + self.batch_size - min(self.batch_size, 2)) // self.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = self.rows[torch.randperm(len(self.rows), generator=generator)]
        yield from torch.split(order, self.batch_size)[: len(self)]


class Rows(Dataset[Tensor]):
    """The identity: a batch of rows stays a batch of rows; the model gathers its features on the device."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        return rows


class LinkingDataModule(LightningDataModule):
    """Opens or prepares a dataset, embeds what is missing, and serves batches of mention rows.

    Args:
        root: A dataset folder, or a release as published (then it is prepared into `cache_dir` first).
        cache_dir: Where prepared datasets and features are kept and found again.
        text_encoder: Encodes mentions, contexts, captions, names and entity texts; None: no text.
        image_encoder: Encodes the images of mentions and entities; None: no images.
        name_encoder: Encodes mentions and names once more, by their spelling (`CharacterEncoder`); None: not.
        captioner: Says what an image shows, where the dataset has no caption; None: captions as they are.
        entity_text: Which text of the entities is used: `brief`, `brief_long`, `refreshed` …
        context_template: What is encoded as the context; `{mention}` and `{context}` are filled in.
        text_template: What is encoded as the text of an entity; `{name}` and `{text}` are filled in.
        name_alone: Whether the name alone is encoded where a mention has no context, or an entity no text: for methods
            that read one text a side.
        num_images: Images of a mention or an entity that are encoded, at most: the first usable ones.
        feature_dtype: Of features on the disk and in memory; `float16` takes half the room.
        context_reach: How much of a context is read. `auto`: what the encoder reads of it from its start, and where
            the mention stands behind that (77 tokens of CLIP are about 300 characters), what it reads around the
            mention. A number: so many characters on either side of the mention, at most. None: always from the start.
        leave_out: Fields that no model sees, for ablations: `mention`, `context`, `caption`, `image`, `spelling` of the
            mention; `name`, `text`, `entity_image`, `name_spelling` of the entity.
        shuffle: Fields whose values change owners at random, within a split or within the KB: the control that tells
            whether a field helps by what it says.
        blank: Fields whose values all become their mean: the control that keeps a model's shape and tells it nothing.
        protocol: What a mention is ranked against.
        predict_split: The split that `predict` answers.
        batch_size: Mentions a training step.
        embed_batch_size: Texts or images an encoder call.
        num_workers: Processes that decode images; 0 decodes in this one; None: one a core, at most 8.
        max_missing_images: The share of mentions, and of entities, that may miss the images that they name; beyond, a
            run stops before it trains. The default bears links that died, not a folder that moved or was not unpacked.
        images: The image folder of a release, as of `dim prepare`; None: where the release has it.
        resident_gb: Features up to this size (in 10^9 bytes, all fields together) live on the device.
        graph_gb: Memory (in 10^9 bytes, each field) that a step keeps for the gradients of a text encoder that is
            trained; what lies beyond is encoded twice, so that a larger batch takes longer, not more memory.
        engine: Where embedding and `predict` compute: this process, or a Ray cluster (extra `ray`), all of whose nodes
            see dataset, cache, weights and images under the same paths.
        address: Of a running Ray cluster; None: one of this machine, for this run.
        seed: Of the order of the training mentions (the CLI passes `seed_everything`).
    """

    #: Options that do not make a run what it is (`identity`): places, machines, and what the features' fingerprints
    #: say already.
    incidental: ClassVar[frozenset[str]] = frozenset(
        {
            *("root", "cache_dir", "predict_split", "engine"),
            *("embed_batch_size", "num_workers", "resident_gb", "graph_gb"),
            *("images", "address", "seed", *ENCODERS, "entity_text"),
            *("context_template", "context_reach", "text_template", "name_alone", "num_images", "feature_dtype"),
            *("leave_out", "shuffle", "blank"),
        }
    )

    #: Options that came later, as runs of before had them.
    later: ClassVar[Mapping[str, Any]] = BEFORE

    def __init__(
        self,
        root: Path,
        cache_dir: Path = Path("cache"),
        text_encoder: TextEncoder | None = None,
        image_encoder: ImageEncoder | None = None,
        name_encoder: TextEncoder | None = None,
        captioner: Captioner | None = None,
        entity_text: str = "brief",
        context_template: str = CONTEXT_TEMPLATE,
        num_images: int = 1,
        feature_dtype: Dtype = "float32",
        leave_out: Sequence[str] = (),
        shuffle: Sequence[str] = (),
        blank: Sequence[str] = (),
        protocol: Protocol | None = None,
        predict_split: str = "test",
        batch_size: int = 64,
        embed_batch_size: int = 64,
        num_workers: int | None = None,
        max_missing_images: float = MAX_MISSING_IMAGES,
        images: Path | None = None,
        context_reach: ContextReach = "auto",
        text_template: str = "{text}",
        name_alone: bool = False,
        resident_gb: float = 4.0,
        graph_gb: float = 2.0,
        engine: Engine = "local",
        address: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError("a batch size of at least 1", str(batch_size), "Raise --data.batch_size.")
        for option, fields in (("leave_out", leave_out), ("shuffle", shuffle), ("blank", blank)):
            check_fields(fields, f"--data.{option}")
        self.choices = Choices(
            text_encoder=text_encoder,
            image_encoder=image_encoder,
            name_encoder=name_encoder,
            captioner=captioner,
            entity_text=entity_text,
            context_template=context_template,
            context_reach=context_reach,
            text_template=text_template,
            name_alone=name_alone,
            num_images=num_images,
            dtype=feature_dtype,
        )
        self.root, self.cache_dir = Path(root), Path(cache_dir)
        self.leave_out, self.shuffle, self.blank = tuple(leave_out), tuple(shuffle), tuple(blank)
        self.protocol = protocol or FullKB()
        self.predict_split = predict_split
        self.batch_size, self.embed_batch_size = batch_size, embed_batch_size
        self.num_workers, self.resident_gb, self.seed = num_workers, resident_gb, seed
        self.graph_gb = graph_gb
        self.max_missing_images = check_limit(max_missing_images)
        self.images, self.engine, self.address = images, engine, address
        self.needs = Needs()
        #: The fields that weights were trained on: what came into the dataset since, such as captions, is none of them.
        self.trained_fields: Sequence[str] | None = None
        #: Those that a command reads: where one has no mention, it ends before anything is embedded.
        self.needed_splits: Sequence[str] = ()
        self.only: Tensor | None = None  #: Mention rows [n] that alone may be trained on, such as all but a fold.
        self.trusted: tuple[str, ...] = ()  #: As of `LinkingData`: by the user's word, never by a folder's.
        self._data: LinkingData | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the data itself; what was embedded it finds in the cache.
        return self.__dict__ | {"_data": None, "trainer": None, "engine": "local", "address": None}

    @property
    def linking_data(self) -> LinkingData:
        """The data, opened, prepared and embedded at the first call."""
        if self._data is None:
            self._data = self._load()
        return self._data

    @property
    def trained_encoders(self) -> dict[str, TrainableTextEncoder]:
        """Those that are trained within the steps, by their options."""
        encoder = self.choices.text_encoder
        return {"text_encoder": encoder} if isinstance(encoder, TrainableTextEncoder) and encoder.is_trained else {}

    def check_trained(self, method: str, trains_encoders: bool) -> None:
        """Raises ConfigError where an encoder is to be trained that this method, or these options, do not train."""
        trained = next((name for name, encoder in self.choices.encoders.items() if is_trained(encoder)), None)
        if trained is None:
            return
        blanked = [field.name for field in FIELDS if field.encoder == "text" and field.name in self.blank]
        if trained not in self.trained_encoders or not trains_encoders or blanked:
            said = f"blanked fields ({', '.join(blanked)})" if blanked else f"the {trained} of {method}"
            raise ConfigError(f"a frozen encoder for {said}", "train other than frozen", "Leave train out.")

    def setup(self, stage: str) -> None:
        """Opens the data and moves what fits to the device."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        self.linking_data.to(device, self.resident_gb * 1e9)

    def _load(self) -> LinkingData:
        dataset = open_dataset(self.root, self.cache_dir, self.images)
        if not dataset.meta["num_mentions"]:
            remedy = "Name a dataset that has mentions; this one can be embedded, shown and audited."
            raise DataError(f"mentions in {dataset.name}", "a KB alone", remedy)
        golds = torch.from_numpy(dataset.golds_of(dataset.mentions))
        self._check_splits(dataset, golds[:, 0])
        with open_executor(self.engine, self.address) as executor:
            features = self._embed(dataset, executor)
        # A field that nobody has is no field: the model is not built for it.
        tables = {name: self._table(name, found, dataset) for name, found in features.items() if _has_any(found)}
        return LinkingData(
            dataset=dataset,
            mention_fields={each.read_as: tables[each.name] for each in fields_of("mention") if each.name in tables},
            entity_fields={each.read_as: tables[each.name] for each in fields_of("entity") if each.name in tables},
            gold=golds[:, 0].contiguous(),
            other_golds=golds[:, 1:] if golds.shape[1] > 1 else None,
            candidates=self.protocol.candidates(dataset, dataset.mentions),
            protocol=self.protocol,
            read_texts=partial(self._texts, dataset),
            fingerprints=self._fingerprints(dataset, features),
            missing_images={
                each.owner: used_images(dataset, each.owner, found.manifest).as_json()
                for each in FIELDS
                if each.kind == "image" and isinstance(found := features.get(each.name), FieldFeatures)
            },
            trusted=self.trusted,
        )

    def _check_splits(self, dataset: records.Dataset, gold: Tensor) -> None:
        """Raises DataError where a needed split has no mention, or train none that can be trained on."""
        rows = {name: dataset.split(name).index.to_numpy(dtype=np.int64, copy=True) for name in self.needed_splits}
        if "train" not in rows:
            return
        least = min(self.batch_size, 2)  # of one row beside no other `EpochBatches` makes no batch
        trained = len(rows["train"]) if self.needs.nil else int((gold[rows["train"]] >= 0).sum())
        if trained < least:
            raise DataError(
                f"mentions of train with an answer in {dataset.name}, {least} or more",
                f"{trained} of {len(rows['train']):,}",
                "Add answers (entity_id), or link without training: dim linker DATASET FOLDER.",
            )

    def _embed(self, dataset: records.Dataset, executor: Executor) -> dict[str, FieldFeatures | Inputs]:
        return embed_dataset(
            dataset,
            self.choices,
            cache_dir=self.cache_dir,
            batch_size=self.embed_batch_size,
            num_workers=self.num_workers,
            max_missing_images=self.max_missing_images,
            leave_out=self._unread(),
            executor=executor,
            progress=process_of_run() == 0,
        )

    def _unread(self) -> tuple[str, ...]:
        names = [field.name for field in FIELDS]
        wanted = set(names if self.needs.fields is None else self.needs.fields)
        wanted &= set(names if self.trained_fields is None else self.trained_fields)
        return tuple(name for name in names if name in self.leave_out or name not in wanted)

    def _table(self, name: str, features: FieldFeatures | Inputs, dataset: records.Dataset) -> FeatureTable:
        rows, field = features.rows, next(field for field in FIELDS if field.name == name)
        if name in self.shuffle:
            splits = dataset.mentions["split"].tolist() if field.owner == "mention" else None
            rows = rows[derange(rows >= 0, name, self.seed, splits)]
        table = self._stored(field, features, torch.from_numpy(rows))
        if name in self.blank:
            return FeatureTable(table.mean(), torch.from_numpy(np.minimum(rows, 0)))
        return table

    def _stored(self, field: Field, features: FieldFeatures | Inputs, rows: Tensor) -> FeatureTable:
        if isinstance(features, FieldFeatures):
            # The cache is mapped copy-on-write: torch asks for writable memory, and nothing here writes.
            table = FeatureTable(torch.from_numpy(features.matrix), rows, mapped=features.matrix)
            if features.starts is not None and features.lengths is not None:
                table.starts, table.lengths = (torch.from_numpy(each) for each in (features.starts, features.lengths))
            return table
        if field.encoder == "name":
            assert isinstance(self.choices.name_encoder, SparseTextEncoder)
            vectors = self.choices.name_encoder.encode_sparse(features.unique)
            return SparseTable(vectors, rows, getattr(torch, self.choices.dtype))
        assert self.choices.text_encoder is not None
        encoder = self.choices.text_encoder.reading(field.owner)
        assert isinstance(encoder, TrainableTextEncoder)
        return TrainedTable(encoder, features.unique, rows, self.graph_gb * 1e9)

    def _texts(self, dataset: records.Dataset) -> list[str | None]:
        variant = self.choices.entity_text
        if "text" in self.leave_out or variant not in dataset.variants:
            return [None] * len(dataset.entities)
        texts = [text if text and text.strip() else None for text in dataset.texts(variant)]
        if "text" not in self.shuffle:
            return texts
        source = derange(np.array([text is not None for text in texts]), "text", self.seed)
        return [texts[owner] for owner in source]

    def shown_mentions(self) -> pd.DataFrame:
        """The mentions as a model that reads their texts sees them: `leave_out` and `shuffle` hold for contexts too."""
        mentions = self.linking_data.dataset.mentions
        contexts = mentions["context"].astype(object)
        if "context" in self.leave_out:
            return mentions.assign(context="", start=np.nan, end=np.nan)
        if "context" in self.shuffle:
            source = derange((contexts.fillna("") != "").to_numpy(), "context", self.seed, mentions["split"].tolist())
            return mentions.assign(context=contexts.to_numpy()[source], start=np.nan, end=np.nan)
        return mentions

    def _fingerprints(self, dataset: records.Dataset, features: Mapping[str, FieldFeatures | Inputs]) -> dict[str, str]:
        choices = self.choices
        parts = {"entity_text": choices.entity_text, "context_template": choices.context_template}
        if choices.entity_text in dataset.variants:
            parts["text_hash"] = dataset.text_hash(choices.entity_text)
        captions, contexts = features.get("caption"), features.get("context")
        if captions is not None and _has_any(captions) and dataset.mentions["caption"].notna().any():
            parts["captions"] = column_hashes(dataset.mentions[["caption"]])["caption"][:16]
        # Where `auto` had nothing to cut, the run is what it is from the start of each context.
        if isinstance(choices.context_reach, int) or (contexts is not None and contexts.num_around):
            parts["context_reach"] = str(choices.context_reach)
        for name in AT_DEFAULT:
            if (value := getattr(choices, name)) != getattr(Choices, name):
                parts[name] = str(value)
        if choices.dtype != Choices.dtype:
            parts["feature_dtype"] = choices.dtype
        for name in ("leave_out", "shuffle", "blank"):
            if fields := getattr(self, name):
                parts[name] = ", ".join(fields)
        return parts | {name: encoder.fingerprint for name, encoder in choices.encoders.items()}

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Shuffled batches of the training mentions. Raises ConfigError for batches that the method cannot train on."""
        if self.batch_size < self.needs.least_batch:
            raise ConfigError(
                f"a batch size of at least {self.needs.least_batch}",
                str(self.batch_size),
                "Raise --data.batch_size: other rows' golds are the negatives.",
            )
        return _batches(EpochBatches(self.train_rows(), self.batch_size, self.seed))

    def val_dataloader(self) -> DataLoader[Tensor]:
        """`tune` while fitting (early stopping, choice of the epoch), `dev` in `validate`."""
        fitting = self.trainer is not None and self.trainer.state.fn == "fit"
        return self._in_order("tune" if fitting else "dev")

    def test_dataloader(self) -> DataLoader[Tensor]:
        """The test split."""
        return self._in_order("test")

    def predict_dataloader(self) -> DataLoader[Tensor]:
        """The mentions of `predict_split`."""
        return self._in_order(self.predict_split)

    def rows(self, split: str) -> Tensor:
        """The rows [n] of a split in `dataset.mentions`. Raises DataError where it has none."""
        return torch.from_numpy(self.linking_data.dataset.split(split).index.to_numpy(dtype=np.int64, copy=True))

    def train_rows(self) -> Tensor:
        """The training mentions [n] that have a gold entity, or all where the method trains on NIL too."""
        rows = self.rows("train")
        if self.only is not None:
            rows = rows[torch.isin(rows, self.only)]
        return rows if self.needs.nil else rows[self.linking_data.gold.cpu()[rows] >= 0]

    def _in_order(self, split: str) -> DataLoader[Tensor]:
        return _batches(list(self.rows(split).split(self.needs.evaluation_batch)))


def _has_any(features: FieldFeatures | Inputs) -> bool:
    return bool(len(features.unique) if isinstance(features, Inputs) else len(features.matrix))


def _batches(batches: Sampler[Tensor] | list[Tensor]) -> DataLoader[Tensor]:
    return DataLoader(Rows(), sampler=batches, batch_size=None)
