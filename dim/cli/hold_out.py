"""`dim hold-out`: a dataset whose KB lacks some entities, to measure NIL on."""

from __future__ import annotations

from pathlib import Path

from dim.core.output import claimed_folder
from dim.data.dataset import dataset_kind, write_dataset
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.releases.prepare import open_dataset
from dim.reranker.held_out import hold_out as hold_out_entities

HELD_OUT = dataset_kind("a dataset of dim hold-out", lambda meta: "held_out" in meta)


def hold_out(
    dataset: Path,
    out: Path,
    share: float = 0.1,
    seed: int = 0,
    cache_dir: Path = Path("cache"),
    overwrite: bool = False,
) -> None:
    """Writes a dataset without a share of its entities: half with their namesakes left in the KB, half without.

    Fit and rank on it like on any other; the dev and test mentions of what was held out are NIL there, and `dim rank
    --nil_precision` tells the two kinds apart.

    Args:
        dataset: A dataset folder, or a release as published.
        out: Where the new dataset folder shall stand: a new or empty path.
        share: Of the entities that are held out.
        seed: Of the draw.
        cache_dir: Where prepared releases are found.
        overwrite: Whether to replace a dataset that this command wrote at `out`.

    Raises:
        ConfigError: The share is out of range, or something stands at `out`.
    """
    if not 0 < share < 1:
        raise ConfigError("--share between 0 and 1", str(share), "Change it, such as 0.1.")
    with claimed_folder(out, HELD_OUT, "dim hold-out", sources=[dataset], overwrite=overwrite) as check_again:
        whole = open_dataset(dataset, cache_dir)
        rest = hold_out_entities(whole, share, seed)
        check_again()
        write_dataset(
            out,
            name=f"{whole.name} less {share:.0%} (seed {seed})",
            entities=rest.entities,
            texts=rest.texts,
            mentions=rest.mentions,
            image_root=str(whole.image_root.absolute()),
            image_urls=whole.image_urls,
            source=whole.meta.get("source"),
            licence=whole.meta.get("licence"),
            images_dropped=whole.meta.get("images_dropped", {}),
            held_out={"share": share, "seed": seed, "of": whole.hash, "dropped": rest.num_dropped, "nil": rest.num_nil},
        )
    said = "; ".join(
        f"{split}: {', '.join(f'{n:,} {kind}' for kind, n in kinds.items())}" for split, kinds in rest.num_nil.items()
    )
    Console().say(
        f"{len(whole.entities) - len(rest.entities):,} of {len(whole.entities):,} entities held out; NIL mentions: "
        f"{said or 'none'}; training mentions dropped: {sum(rest.num_dropped.values()):,}; written: {out}"
    )
