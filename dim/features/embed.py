"""`dim embed`: the features of every field of a dataset, from the cache or computed now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.core.jobs import Block, Dtype, Executor, ThisProcess
from dim.core.ray_cluster import Engine, open_executor
from dim.core.templates import CONTEXT_TEMPLATE
from dim.data.dataset import Dataset
from dim.data.missing_images import MAX_MISSING_IMAGES, check_images, check_limit
from dim.display.terminal import Console, Text
from dim.encoders.base import Captioner, ImageEncoder, SparseTextEncoder, TextEncoder, is_trained
from dim.errors import ConfigError
from dim.features.blocks import image_blocks, image_counts, text_blocks
from dim.features.cache import FeatureCache, FieldFeatures, Recipe
from dim.features.captions import cached_captions, caption_inputs
from dim.features.fields import (
    FIELDS,
    Choices,
    ContextReach,
    Field,
    context_rows,
    read_contexts,
    reading_of,
)
from dim.features.image_counts import absent_images, used_images
from dim.features.inputs import Inputs, file_state
from dim.features.spread import Means
from dim.images.reading import num_decoders
from dim.releases.prepare import open_dataset

__all__ = ["FieldFeatures", "embed", "embed_dataset"]

BLOCK_SIZE = {"text": 4096, "image": 1024}
LEAST_BLOCK = 64  #: Inputs a block, where each has many vectors.


def embed(
    root: Path,
    text_encoder: TextEncoder | None = None,
    image_encoder: ImageEncoder | None = None,
    name_encoder: TextEncoder | None = None,
    captioner: Captioner | None = None,
    cache_dir: Path = Path("cache"),
    entity_text: str = "brief",
    context_template: str = CONTEXT_TEMPLATE,
    num_images: int = 1,
    feature_dtype: Dtype = "float32",
    batch_size: int = 64,
    num_workers: int | None = None,
    max_missing_images: float = MAX_MISSING_IMAGES,
    engine: Engine = "local",
    address: str | None = None,
    images: Path | None = None,
    context_reach: ContextReach = "auto",
    text_template: str = "{text}",
    name_alone: bool = False,
) -> None:
    """Computes the features that a run needs and keeps them in the cache.

    Killed at any moment and run again, it goes on where it stood.

    Args:
        root: A dataset folder, or a release as published (then it is prepared into the cache first).
        text_encoder: Encodes mentions, contexts, captions, names and entity texts.
        image_encoder: Encodes the images of mentions and entities.
        name_encoder: Encodes mentions and names once more, by their spelling (`CharacterEncoder`).
        captioner: Says what a mention's image shows, where the dataset has no caption.
        cache_dir: Where prepared datasets and features are kept and found again.
        entity_text: Which text of the entities: `brief`, `brief_long`, `refreshed` …
        context_template: What is encoded as the context; `{mention}` and `{context}` are filled in.
        context_reach: How much of a context is read: so many characters on either side of the mention, at most; by
            default all that the encoder reads, and where the mention stands behind that, what it reads around it.
        text_template: What is encoded as the text of an entity; `{name}` and `{text}` are filled in.
        name_alone: Whether the name alone is encoded where a mention has no context, or an entity no text.
        num_images: Images of a mention or an entity that are encoded, at most: the first usable ones.
        feature_dtype: Of the numbers on the disk; `float16` takes half the room.
        batch_size: Texts or images an encoder call.
        num_workers: Processes that decode images; 0 decodes in this one. The default is one a core, at most 8.
        max_missing_images: The share of mentions, and of entities, that may miss the images that they name; beyond, it
            stops. The default bears links that died, not a folder that moved or was not unpacked.
        engine: `local` is this process; `ray` spreads the blocks over a Ray cluster, all of whose nodes see the
            weights and the images under the same paths (extra `ray`).
        address: Of a running Ray cluster; the default starts one on this machine for this run.
        images: The image folder of a release, as of `dim prepare`; the default is where the release has it.
    """
    if text_encoder is None and image_encoder is None:
        raise ConfigError("an encoder", "neither --text_encoder nor --image_encoder", "Name at least one of them.")
    choices = Choices(
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
    with open_executor(engine, address) as executor:
        embed_dataset(
            open_dataset(root, cache_dir, images),
            choices,
            cache_dir=cache_dir,
            batch_size=batch_size,
            num_workers=num_workers,
            max_missing_images=max_missing_images,
            executor=executor,
        )


def embed_dataset(
    dataset: Dataset,
    choices: Choices,
    *,
    cache_dir: Path,
    batch_size: int = 64,
    num_workers: int | None = None,
    max_missing_images: float = MAX_MISSING_IMAGES,
    leave_out: Sequence[str] = (),
    executor: Executor | None = None,
    progress: bool = True,
) -> dict[str, FieldFeatures | Inputs]:
    """The features of each field that has an encoder, in the dataset's row order; its inputs, if none are kept of it.

    None are of an encoder that is trained, and of a sparse one of names.

    Fields of a mention are `mention`, `context`, `caption`, `image` and `spelling`; of an entity `name`, `text`,
    `entity_image` and `name_spelling`. An empty text is missing.

    A captioner is not called without a text encoder. Features go to the folder `features` of `cache_dir`, but for the
    fields of `leave_out`, which are not wanted. Blocks are computed where `executor` says, by default in this process.
    With `progress`, bars and what was found are shown on stderr. Other options are as of `embed`.

    Raises:
        ConfigError: The batch size is below 1, or the share of missing images is none.
        DataError: The dataset has other entity texts, but not this one (it may have none at all); too many images are
            missing; or an encoder gave a value that is not finite.
        StorageError: The cache cannot be written.
    """
    if batch_size < 1:
        raise ConfigError("a batch size of at least 1", str(batch_size), "Raise it.")
    check_limit(max_missing_images)
    console = Console(stderr=True, quiet=not progress)
    run = _Run(
        dataset,
        FeatureCache(cache_dir / "features"),
        Means(executor or ThisProcess(), batch_size, num_decoders(num_workers), console),
    )
    encoders = {"text": choices.text_encoder, "image": choices.image_encoder, "name": choices.name_encoder}
    wanted = [field for field in FIELDS if encoders[field.encoder] is not None and field.name not in leave_out]
    if any(field.name == "text" for field in wanted):
        if dataset.variants:
            dataset.check_variant(choices.entity_text)  # before minutes of work on other fields
        elif choices.name_alone:
            console.say(Text(f"no entity of {dataset.name} has a text: its name stands there"))
        else:
            wanted = [field for field in wanted if field.name != "text"]
            console.say(Text(f"no entity of {dataset.name} has a text: names alone"))
    if choices.captioner is not None and choices.text_encoder is not None and "caption" not in leave_out:
        choices = replace(choices, captions=run.captions(choices.captioner, max_missing_images))
    for field in wanted:  # before hours of work on other fields
        encoder = encoders[field.encoder]
        if isinstance(encoder, ImageEncoder) and field.kind == "image" and not run.is_known(field, choices, encoder):
            check_images(absent_images(dataset, field.owner), max_missing_images, dataset.image_root)
    found: dict[str, FieldFeatures | Inputs] = {}
    for field in wanted:
        encoder = encoders[field.encoder]
        assert encoder is not None
        is_sparse = field.encoder == "name" and isinstance(encoder, SparseTextEncoder)
        if is_sparse or is_trained(encoder):
            when = "whenever a run opens: not kept" if is_sparse else "within each step"
            found[field.name] = run.inputs(field, choices)
            console.print(f"{field.name:<12} encoded {when}", highlight=False)
            continue
        found[field.name] = features = run.features(field, choices, encoder)
        if field.kind == "image":
            used = used_images(dataset, field.owner, features.manifest)
            check_images(used, max_missing_images, dataset.image_root)
    return found


@dataclass(frozen=True)
class _Run:
    dataset: Dataset
    cache: FeatureCache
    means: Means

    def features(self, field: Field, choices: Choices, encoder: TextEncoder | ImageEncoder) -> FieldFeatures:
        if field.kind == "text":
            assert isinstance(encoder, TextEncoder)
            encoder = encoder.reading(field.owner)
        key = self._known_key(field, choices, encoder.fingerprint)
        owner = partial(self._named, field)
        found = self.cache.known(key, self.dataset.image_root, owner)
        if found is None:
            inputs = self.inputs(field, choices)
            most = choices.num_images if field.kind == "image" else 1
            size = BLOCK_SIZE[field.kind]
            recipe = Recipe(field.name, field.kind, encoder.fingerprint, encoder.width, size, most, choices.dtype)
            found = self.cache.find(recipe, inputs, owner)
            features = found or self._computed(field, encoder, recipe, inputs)
            self.cache.remember(key, recipe, inputs)
        else:
            features = found
        self._say(field, features, was_found=found is not None)
        return features

    def inputs(self, field: Field, choices: Choices) -> Inputs:
        """The inputs of a field; of contexts it is said which the encoder does not read to their end."""
        if field.name != "context":
            return field.unique_inputs(self.dataset, choices)
        contexts = read_contexts(self.dataset, choices)
        behind, is_cut = contexts.behind, choices.context_reach == "auto"
        if choices.context_reach is None and (reading := reading_of(choices)) is not None:
            behind = reading.behind(context_rows(self.dataset))
        if behind is not None and behind.num_long:
            many = f"{len(behind.places):,} mentions stand behind that"
            done = "cut around the mention" if is_cut else "not read: leave out context_reach, and they are"
            said = f"{behind.num_long:,} contexts are longer than the text encoder reads; {many}"
            said += f": {done}" if behind.places else ""
            self.means.console.say(Text(said))
        num_around = len(behind.places) if behind is not None and is_cut else 0
        return replace(Inputs.of_texts(contexts.texts), num_around=num_around)

    def is_known(self, field: Field, choices: Choices, encoder: ImageEncoder) -> bool:
        """Whether the features are in the cache, told without reading the dataset's tables."""
        key = self._known_key(field, choices, encoder.fingerprint)
        return self.cache.known(key, self.dataset.image_root, partial(self._named, field)) is not None

    def _named(self, field: Field, row: int) -> str:
        table: Literal["mentions", "entities"] = "mentions" if field.owner == "mention" else "entities"
        return f"{field.owner} {self.dataset.column(table, 'id')[row].as_py()}"

    def captions(self, captioner: Captioner, max_missing_images: float) -> list[str | None]:
        """The captioner's words for each mention that has images and no caption."""
        check_images(absent_images(self.dataset, "mention"), max_missing_images, self.dataset.image_root)
        inputs = caption_inputs(self.dataset, captioner.question)
        return cached_captions(self.cache, captioner, inputs, self.dataset.image_root, self.means).by_owner

    def _computed(
        self, field: Field, encoder: TextEncoder | ImageEncoder, recipe: Recipe, inputs: Inputs
    ) -> FieldFeatures:
        blocks: Callable[..., Iterator[Block]]
        counts: NDArray[np.int64] | None
        # An encoder may be of both kinds; the field says which side is asked.
        if field.kind == "text":
            assert isinstance(encoder, TextEncoder)
            blocks, counts = partial(text_blocks, encoder), encoder.num_vectors(inputs.unique)
        else:
            assert isinstance(encoder, ImageEncoder)  # its root is of use to a process in another folder, too
            root, most = self.dataset.image_root.absolute(), recipe.num_images
            blocks = partial(image_blocks, encoder, root=root, most=most)
            is_many = most > 1 or encoder.num_patches > 1
            counts = image_counts(inputs.unique, most, encoder) if is_many else None
        if counts is not None:
            smaller = recipe.block_size // max(1, int(counts.max(initial=1)))  # a block is in memory whole
            recipe = replace(recipe, block_size=max(LEAST_BLOCK, smaller))
            size = int(counts.sum()) * recipe.width * np.dtype(recipe.dtype).itemsize
            said = f"{int(counts.sum()):,} vectors of {recipe.width:,} {recipe.dtype}, {size / 1e6:,.0f} MB on the disk"
            self.means.console.say(f"{field.name:<12} {said}", highlight=False)
        with self.cache.missing(recipe, inputs, counts) as work:
            if work is not None:
                for block in self.means.compute(field.name, work, blocks, inputs.unique):
                    work.write(block)
        return self.cache.written(recipe, inputs)

    def _known_key(self, field: Field, choices: Choices, fingerprint: str) -> str:
        # With the files' states: of a table that was changed by hand `dataset.json` does not know.
        hashes, root = self.dataset.meta["hashes"], self.dataset.root
        tables = [table.format(entity_text=choices.entity_text) for table in field.tables]
        states = [repr(file_state(root, f"{table}.parquet")) for table in tables]
        known = [hashes.get(table, "") for table in tables]
        return content_hash(field.name, *known, *states, repr(choices), fingerprint)

    def _say(self, field: Field, features: FieldFeatures, was_found: bool) -> None:
        manifest = features.manifest
        missing = ", ".join(f"{count:,} {reason}" for reason, count in manifest["missing"].items())
        self.means.console.say(
            f"{field.name:<12} {'found in cache' if was_found else 'embedded'}: "
            f"{manifest['num_present']:,} of {manifest['num_owners']:,} {field.owner} rows"
            + (f" (missing: {missing})" if missing else ""),
            highlight=False,
        )
