"""Small tokenizers of each kind that real language models have, trained on a few texts by the tokenizers library."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<unk>", "<s>", "</s>"]


def metaspace_bpe(texts: list[str], starts: bool = True) -> PreTrainedTokenizerFast:
    """As LLaMA 2: a blank before each text, bytes for what the vocabulary lacks, and by default `<s>` in front."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    # SentencePiece never joins punctuation with what stands beside it; the tokenizer itself has no such step.
    words = [pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}▁]"), "isolated"), pre_tokenizers.Split("▁", "merged_with_next")]
    raw.pre_tokenizer = pre_tokenizers.Sequence(words)
    raw_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    _train(raw, trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *raw_bytes]), texts)
    raw.pre_tokenizer = None
    raw = _without_added(raw, raw_bytes)
    return _wrapped(raw, starts)


def unigram(texts: list[str], vocab_size: int = 120) -> PreTrainedTokenizerFast:
    """As T5 and XLM-R: Unicode's compatibility form, runs of blanks as one, `<unk>` for what the vocabulary lacks."""
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    _train(raw, trainers.UnigramTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, unk_token="<unk>"), texts)
    return _wrapped(raw, starts=False)


def word_piece(texts: list[str]) -> PreTrainedTokenizerFast:
    """As BERT: lower case, `<unk>` for a word with a character that the vocabulary lacks."""
    raw = Tokenizer(models.WordPiece(unk_token="<unk>"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    _train(raw, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL), texts)
    return _wrapped(raw, starts=False)


def punctuation_bpe(texts: list[str]) -> PreTrainedTokenizerFast:
    """As Llama 3 and Qwen: byte-level, and a line's end is one token with the punctuation before it."""
    raw = Tokenizer(models.BPE())
    pattern = r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    raw.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(raw, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet), texts)
    return _wrapped(raw, starts=False)


def _train(raw: Tokenizer, trainer: object, texts: list[str]) -> None:
    raw.train_from_iterator(texts, trainer)


def _without_added(raw: Tokenizer, names: list[str]) -> Tokenizer:
    """The bytes as ordinary tokens: as special ones, a decoder leaves them out."""
    told = json.loads(raw.to_str())
    told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] not in set(names)]
    return Tokenizer.from_str(json.dumps(told))


def _wrapped(raw: Tokenizer, starts: bool) -> PreTrainedTokenizerFast:
    if starts:
        raw.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
