"""What a folder of sentence-transformers says of itself: modules.json, and what stands beside it.

Only modules that sentence-transformers itself brings are run, and of pickled weights tensors alone are read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from dim.core.excerpts import first_line
from dim.core.files import content_hash
from dim.core.folder_files import peek_json
from dim.encoders.model_files import load_pickled, safe_name, write_safetensors
from dim.encoders.pooling import RULES, Dense, LayerNorm, Normalize
from dim.encoders.pretrained import Pretrained
from dim.encoders.weights import hash_files
from dim.errors import ConfigError

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
#: Of the encoder; older versions of sentence-transformers name the file by the kind of model.
SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_HEADS = ("Dense", "LayerNorm", "Normalize", "Dropout")
#: Of what a folder passes on to Transformers: what changes no vector, or is for dim's options to say.
_HARMLESS = {
    *("attn_implementation", "cache_dir", "dtype", "local_files_only", "model_max_length", "padding_side"),
    *("revision", "token", "torch_dtype", "trust_remote_code", "use_fast"),
}
#: Of a Pooling module, by versions that had a switch for each.
_OLDER_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
#: The names that prompts go by, in the order in which they are looked for.
_PROMPTS = {"mention": ("query",), "entity": ("document", "passage", "corpus")}


@dataclass(frozen=True)
class Head:
    """A module behind the pooling: `Dense`, `LayerNorm` or `Normalize`, what its config says, and its weights."""

    kind: str
    options: Mapping[str, Any]
    weights: Path | None

    @cached_property
    def key(self) -> str:
        """Changes whenever its output would."""
        hashed = [] if self.weights is None else [hash_files([self.weights])]
        return content_hash(self.kind, json.dumps(self.options, sort_keys=True), *hashed)

    def width(self, before: int) -> int:
        """Columns of its output, of an input of `before` columns."""
        return int(self.options["out_features"]) if self.kind == "Dense" else before

    def load(self) -> nn.Module:
        """The module with its weights, frozen.

        Raises:
            ConfigError: They are damaged, or not those of such a module.
        """
        if self.weights is None:
            return Normalize()
        try:
            state = (load_pickled if self.weights.suffix == ".bin" else load_file)(self.weights)
            module = self._module(state)
            module.load_state_dict(state)
        except ConfigError:
            raise
        except Exception as error:  # pickle, safetensors and torch raise their own kinds
            raise refused(f"{self.kind} of {self.weights}: {type(error).__name__}: {first_line(error)}") from error
        return module.eval().requires_grad_(False)

    def _module(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The module for these weights, which are at hand: what its config says takes no memory beyond theirs."""
        options, is_norm = self.options, self.kind == "LayerNorm"
        sizes = [options["dimension"]] if is_norm else [options["out_features"], options["in_features"]]
        found = list(state["norm.weight" if is_norm else "linear.weight"].shape)
        if found != sizes:
            raise refused(f"{self.kind} of {self.weights} with weights of {found}, not {str(sizes)[:100]}")
        if is_norm:
            return LayerNorm(sizes[0])
        has_bias, is_residual = bool(options.get("bias", True)), bool(options.get("use_residual", False))
        return Dense(sizes[1], sizes[0], has_bias, _activation(options), is_residual)


def _activation(options: Mapping[str, Any]) -> nn.Module:
    path = str(options.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = getattr(nn, path.rpartition(".")[2], None)
    if not path.startswith("torch.nn.") or not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise refused(f"a Dense module with the activation {path[:100]}")
    made: nn.Module = kind()
    return made


@dataclass(frozen=True)
class SentenceFolder:
    """What a folder of sentence-transformers says of itself.

    Attributes:
        pooling: How token vectors become one: keys of `dim.encoders.pooling.RULES`, laid end to end.
        heads: What follows, in its order.
        max_length: Tokens after which a text is cut; None: not said.
        lower_case: Whether texts are lower-cased first.
        include_prompt: Whether a prompt's tokens are pooled, too.
        truncate_dim: Columns that are kept of a vector; None: all.
        prompts: `mention` and `entity` → what is put before their texts.
        files: Name in the folder → file, of all that was read.
    """

    pooling: tuple[str, ...]
    heads: tuple[Head, ...]
    max_length: int | None
    lower_case: bool
    include_prompt: bool
    truncate_dim: int | None
    prompts: Mapping[str, str]
    files: Mapping[str, Path]

    @property
    def normalize(self) -> bool:
        """Whether its last module scales to length 1."""
        return bool(self.heads) and self.heads[-1].kind == "Normalize"

    def copy_to(self, target: Path) -> bool:
        """Writes what was read into a folder with the encoder; whether anything of it has another form there.

        Pickled weights become safetensors, and an encoder in a folder of its own stands in the whole's.
        """
        is_changed = False
        for name, file in self.files.items():
            # What is said of an encoder is looked for where it stands.
            place = target / (Path(name).name if Path(name).name in SETTINGS else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".bin":
                is_changed = True
                write_safetensors(file, place.parent / safe_name(file.name), load_pickled)
            elif name == MODULES and (modules := peek_json(file, list[Any]))[0].get("path"):
                is_changed = True
                modules[0]["path"] = ""
                place.write_text(json.dumps(modules, indent=2), encoding="utf-8")
            else:
                shutil.copyfile(file, place)
        return is_changed


def sentence_folder(source: Pretrained, runs_itself: bool = False) -> SentenceFolder | None:
    """What stands beside a model's weights; None where there is no modules.json.

    Args:
        source: The model.
        runs_itself: Whether sentence-transformers runs it, with images or by a chat template.

    Raises:
        ConfigError: It names what dim does not run, or cannot be read, or the hub cannot be reached.
    """
    reader = _Reader(source)
    if source.is_folder and not (Path(source.path) / "config.json").is_file():
        return None  # loading says what is amiss
    modules = reader.read(MODULES, [])
    # Of older versions of sentence-transformers the encoder stands in a folder of its own.
    if not modules and source.is_folder and not runs_itself:
        above, name = Path(source.path).absolute().parent, Path(source.path).absolute().name
        reader = _Reader(Pretrained(str(above), None, source.what))
        modules = [module for module in reader.read(MODULES, []) if isinstance(module, dict)]
        if not modules or modules[0].get("path") != name:
            return None
    try:
        return _folder(reader, modules, _joint if runs_itself else _text_alone) if modules else None
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # of files that say something else
        raise refused(f"{type(error).__name__}: {str(error)[:200]}") from error


class _Reader:
    """Reads a folder's JSON, and remembers which files."""

    def __init__(self, source: Pretrained) -> None:
        self.source = source
        self.files: dict[str, Path] = {}

    def read(self, name: str, default: Any) -> Any:
        path = self.find(name)
        if path is None:
            return default
        try:
            found = peek_json(path, Any)
        except (OSError, ValueError) as error:
            raise refused(f"{name}: {type(error).__name__}: {str(error)[:200]}") from error
        if not isinstance(found, type(default)):
            raise refused(f"{name}, whose content is no {type(default).__name__}")
        return found

    def find(self, name: str) -> Path | None:
        path = self.source.find(name)
        if path is not None:
            self.files[name] = path
        return path


def _folder(reader: _Reader, modules: list[Any], check: Callable[[Mapping[str, Any]], None]) -> SentenceFolder:
    kinds = [_kind(module) for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or any(kind not in _HEADS for kind in kinds[2:]):
        raise refused(f"the modules {', '.join(kinds)[:300]}")
    places = [str(module.get("path", "")) for module in modules]
    if any(Path(place).is_absolute() or ".." in Path(place).parts for place in places):
        raise refused("a module outside the folder")
    settings: dict[str, Any] = next(
        (found for name in SETTINGS if (found := reader.read(_in(places[0], name), {}))), {}
    )
    _check_encoder(settings)
    check(settings.get("modality_config") or {})
    name = _in(places[1], "config.json")
    if reader.find(name) is None:
        raise refused(f"a Pooling module without {name}")
    pooling = reader.read(name, {})
    told = reader.read(PROMPTS, {})
    return SentenceFolder(
        _pooling(pooling),
        tuple(
            _head(reader, kind, place) for kind, place in zip(kinds[2:], places[2:], strict=True) if kind != "Dropout"
        ),
        _number(settings.get("max_seq_length") or _passed(settings, "processor").get("model_max_length")),
        bool(settings.get("do_lower_case")),
        bool(pooling.get("include_prompt", True)),
        _number(told.get("truncate_dim")),
        {owner: prompt for owner in _PROMPTS if (prompt := _prompt(told, owner))},
        reader.files,
    )


def _number(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise refused(f"{str(value)[:100]} for a number of tokens, or of columns")
    return value


def _kind(module: Any) -> str:
    """The class of a module, its package left out where that is sentence-transformers."""
    path = str(module.get("type") if isinstance(module, dict) else module)
    return path.rpartition(".")[2] if path.startswith("sentence_transformers.") else path


def _in(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _pooling(config: Mapping[str, Any]) -> tuple[str, ...]:
    given = config.get("pooling_mode")
    if given is None:
        given = [kind for kind, key in _OLDER_KEYS.items() if config.get(key)] or ["mean"]
    kinds = (given,) if isinstance(given, str) else tuple(given)
    if unknown := [kind for kind in kinds if kind not in RULES]:
        raise refused(f"the pooling {str(unknown[0])[:100]}")
    return kinds


def _head(reader: _Reader, kind: str, place: str) -> Head:
    options = reader.read(_in(place, "config.json"), {})
    for side in ("module_input_name", "module_output_name"):
        if options.get(side) not in (None, "sentence_embedding"):
            raise refused(f"a {kind} module over {options[side]}")
    weights = next((path for name in _WEIGHTS if (path := reader.find(_in(place, name)))), None)
    if weights is None and kind != "Normalize":
        raise refused(f"a {kind} module without weights in {place}")
    return Head(kind, {key: value for key, value in options.items() if "name" not in key}, weights)


def _check_encoder(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError where the encoder's settings say what is not done here."""
    if settings.get("transformer_task", "feature-extraction") != "feature-extraction":
        raise refused(f"transformer_task {settings['transformer_task']}")
    if settings.get("query_expansion"):
        raise refused("query_expansion")
    for what in ("model", "processor", "config"):
        if further := set(_passed(settings, what)) - _HARMLESS:
            raise refused(f"{what}_kwargs with {sorted(further)[0]}")


def _text_alone(modalities: Mapping[str, Any]) -> None:
    _check_read_by_forward("text", modalities)
    if "message" in modalities:
        raise refused("texts that go through a chat template", "Name it as path of SentenceTransformersEncoder, or set")


def _joint(modalities: Mapping[str, Any]) -> None:
    if modalities and not {"image", "message"} & set(modalities):
        found = f"one of {', '.join(modalities)}"
        raise ConfigError("a model that reads images, or a chat template", found, "Use TransformersTextEncoder.")
    for kind in ("text", "image", "message"):
        _check_read_by_forward(kind, modalities)


def _check_read_by_forward(kind: str, modalities: Mapping[str, Any]) -> None:
    read = modalities.get(kind, {})
    found = (read.get("method", "forward"), read.get("method_output_name", "last_hidden_state"))
    if found != ("forward", "last_hidden_state"):
        raise refused(f"a model whose input of kind {kind} is read by {found[0]} and {found[1]}")


def _passed(settings: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    older = {"processor": "tokenizer"}.get(what, what)
    found: Mapping[str, Any] = settings.get(f"{what}_kwargs") or settings.get(f"{older}_args") or {}
    return found


def _prompt(told: Mapping[str, Any], owner: str) -> str | None:
    prompts = told.get("prompts") or {}
    names = [name for name in (*_PROMPTS[owner], told.get("default_prompt_name")) if name in prompts]
    prompt = prompts[names[0]] if names else None
    if prompt is not None and not isinstance(prompt, str):
        raise refused(f"the prompt {str(prompt)[:100]}")
    return prompt


def refused(found: str, instead: str = "Name another model, or set") -> ConfigError:
    """The error for a folder that says what is not done here, and the start of what to do instead."""
    return ConfigError(
        "a folder of sentence-transformers with an encoder, its pooling, and Dense, LayerNorm or Normalize behind it",
        found,
        f"{instead} pooling, max_length and normalize, which leaves the folder's modules out.",
    )
