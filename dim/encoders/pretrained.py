"""Loading what Transformers saved, from a folder or the Hugging Face hub, with errors that say what to do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, dynamic_module_utils
from transformers.utils import logging

from dim.core.excerpts import few, first_line
from dim.core.folder_files import peek_json
from dim.encoders.hub import Pinned, check_local, pin
from dim.encoders.model_files import copy_files, load_pickled, transformers_files
from dim.encoders.weights import hash_files
from dim.errors import ConfigError, DataError

ADAPTER = "adapter_config.json"  #: Of PEFT: the folder has weights to be added to others, its own or another folder's.
_OTHER_WEIGHTS = {".h5": "TensorFlow", ".msgpack": "Flax", ".onnx": "ONNX", ".gguf": "llama.cpp (GGUF)", ".ot": "Rust"}


class Pretrained:
    """A model as Transformers saves it: a folder, or an id on the hub at one commit, which is looked up once.

    Args:
        path: A folder, or an id on the hub.
        revision: A branch, tag or commit on the hub; has no meaning for a folder.
        what: What is loaded, for messages: `a BLIP-2 model`.
    """

    def __init__(self, path: str, revision: str | None, what: str) -> None:
        self.path, self.revision, self.what = path, revision, what
        self._described: dict[str, Mapping[str, Any]] = {}

    @property
    def is_folder(self) -> bool:
        """Whether it stands on this machine."""
        return Path(self.path).is_dir()

    @property
    def home(self) -> Path | None:
        """The folder; None: it is on a hub."""
        return Path(self.path) if self.is_folder else None

    @cached_property
    def pinned(self) -> Pinned:
        """The commit on the hub. Raises ConfigError where it is not to be known (`dim.encoders.hub.pin`)."""
        check_local(self.path, self.what)
        return pin(self.path, self.revision, self.what)

    @property
    def known_revision(self) -> str | None:
        """The commit, where it was looked up, for another process to load the same; else what was asked for."""
        found: Pinned | None = self.__dict__.get("pinned")
        return self.revision if found is None else found.commit

    @property
    def pinned_options(self) -> dict[str, str]:
        """The option that names what is loaded, whatever becomes of the branch; none for a folder."""
        return {} if self.is_folder else {"revision": self.pinned.commit}

    @cached_property
    def content(self) -> str:
        """What the content is known by: the hash of the files that loading reads; of an id, its commit."""
        if self.is_folder:
            return hash_files(transformers_files(Path(self.path)))
        return f"{self.path}@{self.pinned.commit}"

    def find(self, name: str) -> Path | None:
        """A file beside the model, by its name there; None where there is none.

        Raises:
            ConfigError: It may be on the hub, which cannot be reached.
        """
        if self.is_folder:
            path = Path(self.path) / name
            return path if path.is_file() else None
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        commit = self.pinned.commit
        cached = try_to_load_from_cache(self.path, name, revision=commit)
        if cached is not None:  # a path, or a mark that the hub has no such file
            return Path(cached) if isinstance(cached, str) else None
        try:
            return Path(hf_hub_download(self.path, name, revision=commit, local_files_only=self.pinned.is_offline))
        except LocalEntryNotFoundError as error:
            raise ConfigError(
                f"{self.what} at {self.path}: whether it has a file {name}, which says how it is to be used",
                "no connection to the hub, and its cache does not know",
                "Make the hub reachable once, or set pooling, max_length and normalize yourself.",
            ) from error
        except EntryNotFoundError:
            return None

    def described(self, name: str) -> Mapping[str, Any]:
        """The content of a JSON file beside the model; empty where there is none, or none that can be read.

        Raises:
            ConfigError: The commit on the hub is not to be known.
        """
        if name not in self._described:
            if not self.is_folder:
                _ = self.pinned
            try:
                path = self.find(name)
            except ConfigError:  # loading says what is amiss
                path = None
            found = None if path is None else _read(path)
            self._described[name] = found if isinstance(found, dict) else {}
        return self._described[name]

    def load(self, kind: Any, **options: Any) -> Any:
        """What `kind.from_pretrained` gives, of exactly this commit.

        Args:
            kind: A class of Transformers.
            **options: Of `kind.from_pretrained`.

        Raises:
            ConfigError: There is no such folder, or nothing of that kind in it, or the hub cannot be reached; or it is
                a tokenizer without a vocabulary.
            DataError: It is of a kind whose code stands beside its weights, which is never run.
        """
        found = self.made(kind.from_pretrained, **options)
        check_vocabulary(found, f"{self.what} at {self.path}")
        return found

    def made(self, make: Callable[..., Any], **options: Any) -> Any:
        """As `load`, by a function that takes the folder or id first: another library's way to open it."""
        is_folder = self.is_folder
        if is_folder:
            check_folder(Path(self.path), self.what)
        else:
            options |= {"revision": self.pinned.commit, "local_files_only": self.pinned.is_offline}
        try:
            with no_bar() if is_folder else nullcontext(), unasked():
                # Said each time: where it is not, Transformers asks on stdin.
                return make(self.path, trust_remote_code=False, **options)
        except Exception as error:  # each file format and the hub client raise their own kinds
            if "trust_remote_code" in str(error):
                raise own_code(self.what, self.path) from error
            found = f"{type(error).__name__}: {first_line(error)}"
            remedy = (
                "Give a folder as written by save_pretrained: config.json, processor and tokenizer files, safetensors."
                if is_folder
                else "Give a local folder with the model, or make the hub reachable and check the id."
            )
            raise ConfigError(f"{self.what} at {self.path}", found, remedy) from error


class KnownByItsFiles:
    """What encoders and captioners of Transformers do about their files: most of what `Frozen` asks.

    A language model stays a plain dataclass, which the command line reads as a set of options; it says the same itself.
    """

    WHAT: ClassVar[str]  #: For messages: `a BLIP-2 model`.
    path: str
    revision: str | None

    @cached_property
    def source(self) -> Pretrained:
        """The folder, or the id on the hub at one commit."""
        return Pretrained(self.path, self.revision, self.WHAT)

    @abstractmethod
    def _named(self, content: str) -> str:
        """The fingerprint of this content, with each option that changes the output."""

    @cached_property
    def fingerprint(self) -> str:
        """Names the content of the folder (of a hub id: its commit) and each option that changes the output."""
        return self._named(self.source.content)

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """The commit as `revision`, of an id on the hub."""
        return self.source.pinned_options

    @property
    def known_options(self) -> Mapping[str, Any]:
        """The commit, where it was looked up (`LoadedAnew`)."""
        return {"revision": self.source.known_revision}

    def pin(self, options: Mapping[str, str]) -> None:
        """Has a commit (`revision`) loaded; called before anything is."""
        self.revision = self.source.revision = options["revision"]

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what Transformers reads of a folder; pickled weights as safetensors."""
        return copy_files(source, transformers_files(source), target, load_pickled)


def current_transformers() -> Any:
    """Transformers as captioners need it: beside salesforce-lavis stands one that has no BLIP-2 and no chat yet.

    Raises:
        ConfigError: It is too old.
    """
    import transformers

    if not hasattr(transformers, "Blip2Processor"):
        raise ConfigError(
            "Transformers 4.57 or newer",
            f"version {transformers.__version__}",
            "Use dim's own environment, or Blip2LavisCaptioner in this one.",
        )
    return transformers


def frozen(model: Any) -> Any:
    """A language model in evaluation mode, without gradients, whose head is not copied for each prompt.

    A head is given a slice, the last positions. Of vectors that do not lie side by side torch 2.13 makes a product for
    each prompt, and a CPU copies frozen bf16 weights as often (findings/torch_copies_a_head_for_each_prompt.sh).
    """
    if (head := model.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(_in_one_piece)
    return model.eval().requires_grad_(False)


def _in_one_piece(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.contiguous() if isinstance(each, Tensor) else each for each in inputs)


def check_whole(missing: Collection[str], of: str, remedy: str) -> None:
    """Raises ConfigError where weights of a model were not in its files.

    Args:
        missing: Their names.
        of: The model, for the message: `the model at PATH`.
        remedy: What to do.
    """
    if missing:
        found = f"none for {', '.join(sorted(missing)[:3])}; they would be random"
        raise ConfigError(f"all weights of {of}", found, remedy)


def own_code(what: str, path: str) -> DataError:
    """The error for a model that would run code of its folder."""
    named = [
        f"{name} in {file}"
        for file in ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
        if isinstance(config := _read(Path(path) / file), dict)
        for name in [config.get("auto_map")]
        if name
    ]
    return DataError(
        f"{what} at {path} of a kind that Transformers has itself",
        f"one that brings code of its own (auto_map: {'; '.join(named)[:300] or 'on the hub'}), which dim never runs",
        "Use a model whose model_type the installed Transformers knows.",
    )


def check_vocabulary(loaded: Any, what: str) -> None:
    """Raises ConfigError for a tokenizer that knows special tokens alone: all texts would be one to it.

    Of some families (BERT, GPT-2, Qwen, Gemma) Transformers makes such a one where its files are not there.

    Args:
        loaded: A tokenizer of Transformers, or what has one, as a processor has; whatever else it is, is left alone.
        what: It, for the message.
    """
    tokenizer = getattr(loaded, "tokenizer", loaded)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    if len(tokenizer) <= len({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}):
        raise ConfigError(
            f"the tokenizer of {what}",
            f"one without a vocabulary ({type(tokenizer).__name__})",
            "Put its files (tokenizer.json, or vocab.txt and the like) beside config.json.",
        )


def check_folder(folder: Path, what: str) -> None:
    """Raises ConfigError where a folder is of another kind than Transformers loads, saying which and what to do."""
    # To such a folder's weights Transformers (5.24) adds those of the adapter beside them, unasked, where PEFT is
    # installed; no fingerprint has them.
    is_adapted = (folder / ADAPTER).is_file()
    if (folder / "config.json").is_file() and not _holds_other_weights_alone(folder) and not is_adapted:
        return
    found, remedy = _what_it_is(folder)
    raise ConfigError(f"{what} at {folder}", found, remedy)


def _what_it_is(folder: Path) -> tuple[str, str]:
    """What stands in a folder in the place of a model, and what to do."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    asked = "Give a folder as written by save_pretrained: config.json, processor and tokenizer files, safetensors."
    if not names:
        return "an empty folder", asked
    if inner := _transformer_of(folder):
        return "a sentence-transformers model whose encoder stands in a folder of its own", f"Name {folder / inner}."
    if snapshots := sorted((folder / "snapshots").glob("*/config.json")) if (folder / "snapshots").is_dir() else []:
        return (
            "a repository in the hub's cache",
            f"Name a commit in it, such as {snapshots[-1].parent}, or the hub's id.",
        )
    if (folder / ADAPTER).is_file():
        base = _read(folder / ADAPTER).get("base_model_name_or_path", "its base model")
        remedy = "Merge it first: PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(other)."
        if (folder / "config.json").is_file():
            return f"an adapter, of {base}, beside a model", f"{remedy} Or, if it is of no use, move {ADAPTER} away."
        return f"an adapter alone, of {base}", remedy
    if (folder / "open_clip_config.json").is_file():
        return "a model of open_clip", "Use OpenClipEncoder, with this folder as pretrained."
    for suffix, framework in _OTHER_WEIGHTS.items():
        if of_it := [name for name in names if name.endswith(suffix)]:
            return f"weights for {framework} ({of_it[0]})", f"Get the model's safetensors for PyTorch. {asked}"
    inside = [path.parent.name for path in sorted(folder.glob("*/config.json"))]
    if len(inside) == 1:
        return f"no config.json ({few(names, 5)})", f"Name the folder with the model: {folder / inside[0]}."
    return f"no config.json ({few(names, 5)})", asked


def _transformer_of(folder: Path) -> str | None:
    """The folder inside of a sentence-transformers model that holds its encoder, where that is not the model's own."""
    modules = _read(folder / "modules.json", [])
    paths = [module.get("path") for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    return next((path for path in paths if path and (folder / path / "config.json").is_file()), None)


def _holds_other_weights_alone(folder: Path) -> bool:
    """Whether there are weights, and none that PyTorch loads."""
    suffixes = {path.suffix for path in folder.iterdir() if path.is_file()}
    return bool(suffixes & set(_OTHER_WEIGHTS)) and not suffixes & {".safetensors", ".bin"}


def _read(path: Path, default: Any = None) -> Any:
    try:
        return peek_json(path, Any)
    except (OSError, ValueError):
        return {} if default is None else default


@contextmanager
def unasked() -> Iterator[None]:
    """In it Transformers refuses a model with code of its own where it would ask on stdin, for whoever calls it."""
    before = getattr(dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 0)
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


@contextmanager
def no_bar() -> Iterator[None]:
    """In it Transformers shows no progress: reading or writing a folder takes a moment; a download keeps its bar."""
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


@contextmanager
def unreported() -> Iterator[None]:
    """In it Transformers does not tell which weights a model lacks: of a head that is about to be trained all."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
