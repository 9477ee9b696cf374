"""Where a CLIP model comes from: its architecture, its preprocessing, its weights.

open_clip is imported on use: it takes more than a second.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from dim.core.excerpts import first_line
from dim.core.files import content_hash
from dim.core.folder_files import peek_json
from dim.encoders.clip_preprocess import Preprocess, check_activation, say_activation, tag_of_file
from dim.encoders.device import Precision
from dim.encoders.hub import Pinned, pin
from dim.encoders.model_files import (
    PICKLED,
    clip_files,
    is_torchscript,
    load_clip_weights,
    needs_conversion,
    write_safetensors,
)
from dim.encoders.pretrained import check_vocabulary, own_code, unasked
from dim.encoders.weights import hash_files
from dim.errors import ConfigError, DataError

HUB = "hf-hub:"  #: Before the id of a model on the hub, as open_clip has it.
LOCAL = "local-dir:"  #: Before a folder, as open_clip has it.
CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class ClipSource:
    """A model of open_clip by name, and its weights (see `OpenClipEncoder`). Nothing is read before it is asked for.

    What lives on the Hugging Face hub (a model `hf-hub:…`, the weights of most tags, the tokenizers of some models) is
    read at one commit, which is looked up once.

    Raises:
        ConfigError: By each attribute: model, weights or tokenizer do not exist or do not fit each other.
    """

    model_name: str
    pretrained: str | None
    random_seed: int | None
    revision: str | None = None
    tokenizer_revision: str | None = None
    preprocess: Preprocess = None

    @cached_property
    def hub_id(self) -> str | None:
        """The repository on the hub that the weights come from; None where they come from elsewhere."""
        if self.model_name.startswith(HUB):
            return self.model_name.removeprefix(HUB)
        address = str(self._tag.get("hf_hub") or "")
        return address.rpartition("/")[0] or None

    @cached_property
    def pinned(self) -> Pinned:
        """The commit of `hub_id`."""
        return pin(str(self.hub_id), self.revision, "a model of open_clip")

    @cached_property
    def tokenizer_id(self) -> str | None:
        """The repository on the hub that the tokenizer comes from; None where open_clip or the folder has it."""
        if self.is_local:
            return None
        name: str | None = self.config.get("text_cfg", {}).get("hf_tokenizer_name")
        return name or None

    @cached_property
    def pinned_tokenizer(self) -> Pinned:
        """The commit of `tokenizer_id`."""
        if self.tokenizer_id == self.hub_id and self.tokenizer_revision is None:
            return self.pinned
        return pin(str(self.tokenizer_id), self.tokenizer_revision, "a tokenizer of open_clip")

    @property
    def pinned_options(self) -> dict[str, str]:
        """The options that name what is loaded, whatever becomes of branches."""
        options = {} if self.hub_id is None else {"revision": self.pinned.commit}
        tokenizer = self._tokenizer_commit
        return options if tokenizer is None else options | {"tokenizer_revision": tokenizer}

    @property
    def known_revisions(self) -> tuple[str | None, str | None]:
        """Of model and tokenizer: the commits, where they were looked up, else what was asked for."""
        found: list[Pinned | None] = [self.__dict__.get(name) for name in ("pinned", "pinned_tokenizer")]
        asked = (self.revision, self.tokenizer_revision)
        model, tokenizer = (was if now is None else now.commit for now, was in zip(found, asked, strict=True))
        return model, tokenizer

    @property
    def is_local(self) -> bool:
        """Whether `pretrained` is a folder, which brings its own architecture and tokenizer."""
        return bool(self.pretrained) and Path(str(self.pretrained)).is_dir()

    @property
    def path(self) -> str:
        """What messages call it."""
        return str(self.pretrained or self.model_name)

    @property
    def home(self) -> Path | None:
        """The folder that it is, or that its file stands in; None: it is on a hub, or open_clip's own."""
        if self.is_local:
            return Path(str(self.pretrained))
        return Path(self.pretrained).parent if self.pretrained and Path(self.pretrained).is_file() else None

    @property
    def content(self) -> str:
        """What its content is known by."""
        return self.fingerprint

    @cached_property
    def _folder(self) -> Path | None:
        """The folder of the model, where it is one: `pretrained`, or the one of a commit in the hub's cache."""
        if self.model_name.startswith(HUB):
            return self._downloaded(CONFIG).parent
        return Path(str(self.pretrained)) if self.is_local else None

    def _downloaded(self, name: str) -> Path:
        """A file of the model on the hub, downloaded where the cache has it not."""
        from huggingface_hub import hf_hub_download

        pinned = self.pinned
        try:
            path = hf_hub_download(str(self.hub_id), name, revision=pinned.commit, local_files_only=pinned.is_offline)
        except Exception as error:  # the hub's client raises those of its HTTP library too
            raise ConfigError(
                f"a model of open_clip, with {name}, on the Hugging Face hub at {self.hub_id}",
                f"{type(error).__name__}: {first_line(error)}",
                "Check the id, or give a local folder or file with pretrained.",
            ) from error
        return Path(path)

    @cached_property
    def _file_config(self) -> dict[str, Any]:
        """What open_clip_config.json in a folder of weights says."""
        path = (self._folder or Path()) / CONFIG
        try:
            config: dict[str, Any] = peek_json(path, dict[str, Any])
            config["model_cfg"]["embed_dim"]
            return config
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"a folder with open_clip_config.json and weights at {self.pretrained or self.model_name}",
                f"{type(error).__name__}: {error}",
                self._other_loader()
                or "Give the file with the weights itself, or the folder as downloaded from a hub.",
            ) from error

    def _other_loader(self) -> str:
        """What to do with a folder that another class reads."""
        folder = self._folder or Path()
        if (folder / "snapshots").is_dir():
            return "This is a repository in the hub's cache: name a commit's folder under its snapshots."
        try:
            kind = peek_json(folder / "config.json", dict[str, Any]).get("model_type")
        except (OSError, ValueError):
            return ""
        return (
            f"This is a model of Transformers ({kind}): name it as path of TransformersTextEncoder, and of "
            "TransformersImageEncoder where it reads images."
        )

    @cached_property
    def config(self) -> dict[str, Any]:
        """open_clip's description of the architecture."""
        if self._folder:
            return dict(self._file_config["model_cfg"])
        import open_clip

        if self.model_name.startswith(LOCAL):
            folder = self.model_name.removeprefix(LOCAL)[:200]
            remedy = f"Set pretrained to the folder, {folder}: so it is exported with a linker, too."
            raise ConfigError("a model name of open_clip, or hf-hub: and an id", self.model_name[:220], remedy)
        config = open_clip.get_model_config(self.model_name) if ":" not in self.model_name else None
        if config is None:
            near = difflib.get_close_matches(self.model_name, open_clip.list_models(), n=3, cutoff=0.3)
            raise ConfigError(
                "a model name of open_clip",
                f"'{self.model_name}'",
                f"Did you mean {' or '.join(near)}?" if near else "See open_clip.list_models().",
            )
        return dict(config)

    @cached_property
    def _tag(self) -> dict[str, Any]:
        """open_clip's entry of a weights tag; empty where the weights come from elsewhere."""
        if self.model_name.startswith(HUB) or self.is_local or not self.pretrained or Path(self.pretrained).is_file():
            return {}
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        config = self.config
        tag = dict(get_pretrained_cfg(self.model_name, self.pretrained) or {})
        if not tag:
            tags = list_pretrained_tags_by_model(self.model_name)
            near = difflib.get_close_matches(self.pretrained, tags, n=3, cutoff=0.3) or tags[:3]
            raise ConfigError(
                f"weights of {self.model_name}: a tag, a file or a folder",
                f"'{self.pretrained}', which is none of them",
                f"Check the path, or use a tag such as {', '.join(near) or '(this model has none)'}.",
            )
        check_activation(self.model_name, bool(config.get("quick_gelu")), bool(tag.get("quick_gelu")), self.pretrained)
        return tag

    @cached_property
    def _of_file(self) -> dict[str, Any]:
        """What is known of weights in a file; empty where they come from elsewhere."""
        if self.is_local or self.hub_id is not None or not self.pretrained or self._tag:
            return {}
        file = Path(self.pretrained)
        known = tag_of_file(self.model_name, file, self.preprocess)
        has_it = bool(self.config.get("quick_gelu"))
        needs = bool(known.get("quick_gelu")) or is_torchscript(file)  # as OpenAI published its own
        check_activation(self.model_name, has_it, needs, file.name)
        if not has_it and "url" not in known and not isinstance(self.preprocess, str):
            say_activation(self.model_name, file.name)
        return known

    @cached_property
    def preprocess_config(self) -> dict[str, Any]:
        """The fields of open_clip's `PreprocessCfg`."""
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        told = self._file_config.get("preprocess_cfg", {}) if self._folder else self._tag or self._of_file
        if self.preprocess is not None and (self._folder or self._tag):
            told = {**told, **tag_of_file(self.model_name, Path(), self.preprocess)}
        config: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), told)
        return config | {"size": self.config["vision_cfg"].get("image_size", 224)}

    @cached_property
    def fingerprint(self) -> str:
        """Names architecture, preprocessing, and the content of the weights (of a tag: its address)."""
        weights = f"weights={self._weights_id}{self._tokenizer_name}"
        setup = content_hash(json.dumps([self.config, self.preprocess_config], sort_keys=True, default=str))
        return f"{'folder' if self.is_local else self.model_name}, {weights}, setup={setup}"

    @property
    def _tokenizer_name(self) -> str:
        return "" if self.tokenizer_id is None else f", tokenizer={self.tokenizer_id}@{self._tokenizer_commit}"

    @cached_property
    def _tokenizer_commit(self) -> str | None:
        """The tokenizer's commit; None where it is on no hub, or not to be known: images need none, texts raise."""
        try:
            return None if self.tokenizer_id is None else self.pinned_tokenizer.commit
        except ConfigError:
            return None

    @property
    def _name(self) -> str:
        """What open_clip is to look up."""
        return f"local-dir:{self._folder}" if self._folder else self.model_name

    @cached_property
    def _weights_id(self) -> str:
        if self.model_name.startswith(HUB):
            return self.pinned.commit
        if self.pretrained is None:
            if self.random_seed is None:
                raise ConfigError(
                    f"weights for {self.model_name}",
                    "neither pretrained nor random_seed",
                    "Set pretrained to a tag, a file or a folder (or random_seed, for weights that mean nothing).",
                )
            import open_clip

            return f"random({self.random_seed}, torch {torch.__version__}, open_clip {open_clip.__version__})"
        if self.random_seed is not None:
            raise ConfigError("pretrained or random_seed", "both", "Leave one of them out.")
        if self._folder:
            return hash_files(clip_files(self._folder))
        if not self._tag:
            return hash_files([Path(self.pretrained)])
        if self.hub_id is None:
            return f"{self.pretrained} of {self._tag.get('url')}"
        return f"{self.pretrained} of {self._tag['hf_hub']}@{self.pinned.commit}"

    def _weights(self) -> str | None:
        """The file with the weights, downloaded where it is on a hub; of a folder None, as open_clip finds it there."""
        from open_clip.pretrained import download_pretrained, download_pretrained_from_hf

        if self.hub_id is not None:
            name = None if self.model_name.startswith(HUB) else self._tag["hf_hub"].rpartition("/")[2] or None
            found: str = download_pretrained_from_hf(self.hub_id, filename=name, revision=self.pinned.commit)
            return None if self._folder else found
        if self._folder:
            return None
        return str(download_pretrained(self._tag)) if self._tag else self.pretrained

    @contextmanager
    def _readable(self, weights: str | None) -> Iterator[str | None]:
        """The weights as open_clip reads them: what it cannot read without running code, as safetensors meanwhile."""
        file = Path(weights or "")
        if weights is None or file.suffix not in PICKLED or not needs_conversion(file):
            yield weights
            return
        with TemporaryDirectory() as folder:
            place = Path(folder) / "weights.safetensors"
            write_safetensors(file, place, load_clip_weights)
            yield str(place)

    def load(self, precision: Precision, device: torch.device) -> nn.Module:
        """The model, frozen, on its device."""
        import open_clip

        try:
            weights = self._weights()
            _ = self._of_file  # a file's activation is checked
            with self._readable(weights) as weights, torch.random.fork_rng(), _quiet(), unasked():
                torch.manual_seed(self.random_seed or 0)
                model: nn.Module = open_clip.create_model(
                    self._name,
                    pretrained=weights,
                    precision=precision,
                    device=device,
                    pretrained_text=False,
                    require_pretrained=self.random_seed is None,
                )
        except (ConfigError, DataError):
            raise
        except Exception as error:  # each file format and each hub client raises its own kinds
            if "trust_remote_code" in str(error):
                raise own_code("a model of open_clip", str(self._folder or self.model_name)) from error
            raise ConfigError(
                f"weights of {self.model_name} from {self.pretrained or 'random numbers'}",
                f"{type(error).__name__}: {str(error).strip()[:300]}",
                "Give an intact local file or folder with pretrained (weights in safetensors, or a state dict).",
            ) from error
        return model.eval().requires_grad_(False)

    @cached_property
    def tokenize(self) -> Callable[..., Tensor]:
        """Texts to tokens [len(texts), 77], cut and padded; or to as many tokens as are named behind the texts."""
        import open_clip

        try:
            options: dict[str, Any] = {}
            if self.tokenizer_id is not None:
                options["revision"] = self.pinned_tokenizer.commit
            if self.config.get("text_cfg", {}).get("hf_tokenizer_name"):
                options["trust_remote_code"] = False  # whatever the folder's own options say
            with _quiet(), unasked():
                if self.tokenizer_id is not None and self.model_name.startswith(HUB):
                    text = self.config["text_cfg"]  # open_clip would read the branch's config again
                    names = {"context_length", "tokenizer_mode"} & set(text)
                    options = {name: text[name] for name in names} | text.get("tokenizer_kwargs", {}) | options
                    tokenizer = open_clip.tokenizer.HFTokenizer(self.tokenizer_id, **options)
                else:
                    tokenizer = open_clip.get_tokenizer(self._name, **options)
            check_vocabulary(tokenizer, self.model_name)
        except ConfigError:
            raise
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise own_code("a tokenizer of open_clip", str(self._folder or self.model_name)) from error
            raise ConfigError(
                f"the tokenizer of {self.model_name}",
                f"{type(error).__name__}: {str(error).strip()[:300]}",
                "Give a local folder with pretrained that holds the tokenizer's files too.",
            ) from error
        return lambda texts, num_tokens=None: tokenizer(list(texts), num_tokens)


@contextmanager
def _quiet() -> Iterator[None]:
    # open_clip reports each step to the root logger, random weights as a warning; errors come as exceptions.
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
