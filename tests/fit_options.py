"""Command lines of `fit` on demo worlds. What a test adds comes last, and counts where it is said twice."""

from pathlib import Path

#: What is encoded beside texts.
NAMES_AND_IMAGES = (
    "--data.name_encoder", "CharacterEncoder",
    "--data.image_encoder", "TinyImageEncoder",
    "--data.captioner", "TinyCaptioner",
)  # fmt: skip


def fit_options(world: Path, run: Path, *more: str) -> list[str]:
    """Where things stand and where it computes; features are cached beside the world."""
    return [
        "--run", str(run),
        "--data.root", str(world),
        "--data.cache_dir", str(world.parent / "cache"),
        "--data.num_workers", "0",
        "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
        *more,
    ]  # fmt: skip


def dim_options(world: Path, run: Path, *more: str) -> list[str]:
    """DIM on texts."""
    chosen = ["--data.text_encoder", "TinyTextEncoder", "--data.entity_text", "refreshed", "--model", "DIM"]
    return fit_options(world, run, *chosen, *more)


def gemel_options(world: Path, run: Path, *more: str) -> list[str]:
    """GEMEL with the language model in `lm` beside the world."""
    return fit_options(
        world,
        run,
        "--data.text_encoder", "TinyTextEncoder",
        "--data.image_encoder", "TinyImageEncoder",
        "--data.protocol", "Generative",
        "--model", "GEMEL",
        "--model.language_model.path", str(world.parent / "lm"),
        "--model.learning_rate", "0.01",
        *more,
    )  # fmt: skip
