"""Title encoders over tokens: transformers with their weights, or of a known architecture with random ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kembar.arrays import Rows
from kembar.encoders.transformer import load_model, loading, local_folder
from kembar.errors import EncoderError, nearest, quoted

ARCHITECTURES: dict[str, tuple[str, dict[str, int]]] = {
    "bert-base-multilingual-uncased": ("bert", {}),
    "cahya/bert-base-indonesian-1.5G": ("bert", {}),
    "cahya/distilbert-base-indonesian": ("distilbert", {}),
    "paraphrase-xlm-r-multilingual-v1": ("xlm-roberta", {}),
    "paraphrase-distilroberta-base-v1": ("roberta", {"num_hidden_layers": 6}),
    "paraphrase-multilingual-MiniLM-L12-v2": (
        "bert",
        {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12},
    ),
    "bert-tiny": (
        "bert",
        {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 2, "num_hidden_layers": 2},
    ),
}
"""Architectures that can be trained from random weights without a hub: type and what differs from its defaults."""

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_VOCABULARY = 8_000  # word pieces that a tokenizer learns from titles when there is none


class TokenBackbone(nn.Module):
    """A transformer that gives its last hidden states.

    Args:
        model: of transformers, without a head.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # never used, and a parameter without gradients stops a training on several devices

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features.

        Args:
            ids: (b, t) int64 tokens.
            mask: (b, t) int64, 1 for a token and 0 for padding.

        Returns:
            (b, t, c) hidden states, and the mask.
        """
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask


class TokenReader:
    """Gives the tokens of titles, padded to the longest of a batch.

    Args:
        titles: n titles in normal form.
        tokenizer: of transformers.
        length: longest run of tokens.
        drop: share of the tokens, the first and the last kept, left out at random in training.
    """

    def __init__(self, titles: Sequence[str], tokenizer: Any, length: int, drop: float = 0.0) -> None:
        ids = tokenizer(list(titles), truncation=True, max_length=length, padding=False)["input_ids"] if titles else []
        self._ids = [np.asarray(each, dtype=np.int64) for each in ids]
        self._padding = int(tokenizer.pad_token_id or 0)
        self._drop = drop

    def __len__(self) -> int:
        return len(self._ids)

    def training(self, rows: Rows, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`."""
        return self._padded([self._thinned(self._ids[row], rng) for row in rows])

    def plain(self, rows: Rows) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`."""
        return self._padded([self._ids[row] for row in rows])

    def _thinned(self, ids: Rows, rng: np.random.Generator) -> Rows:
        if not self._drop:
            return ids
        kept = rng.random(len(ids)) >= self._drop
        kept[:1] = kept[-1:] = True
        return ids[kept]

    def _padded(self, ids: list[Rows]) -> tuple[Tensor, ...]:
        lengths = np.array([len(each) for each in ids])
        mask = np.arange(max(int(lengths.max(initial=1)), 1)) < lengths[:, None]
        padded = np.full(mask.shape, self._padding, dtype=np.int64)
        padded[mask] = np.concatenate(ids)
        return torch.from_numpy(padded), torch.from_numpy(mask.astype(np.int64))


def build_tokens(name: str, titles: Sequence[str], *, random: bool, length: int) -> tuple[Any, Any, dict[str, str]]:
    """Build a transformer and its tokenizer.

    Args:
        name: on the hub, or a local folder of sentence-transformers or transformers.
        titles: what it will be trained on; a tokenizer learns its word pieces from them where there is none.
        random: leave the weights random; names of `ARCHITECTURES` then need no hub.
        length: longest run of tokens, which the model must allow.

    Returns:
        The model, its tokenizer, and where they come from.

    Raises:
        EncoderError: no such model, or it takes fewer tokens.
    """
    if random and name in ARCHITECTURES:
        tokenizer = learned_tokenizer(titles)
        model = _random(*ARCHITECTURES[name], tokenizer)
    elif random and not Path(name).is_dir():
        raise EncoderError(
            f"architecture {quoted(name)} with random weights",
            f"a local folder, or one of {', '.join(ARCHITECTURES)}",
            nearest(name, ARCHITECTURES).strip() or "Give a folder with its config.json and tokenizer.",
        )
    else:
        model, tokenizer = _from_folder(name, random)
    most = int(getattr(model.config, "max_position_embeddings", length + 2))
    if length + 2 > most and most != length:
        raise EncoderError(f"length {length} for {quoted(name)}", f"at most {most - 2}", f"Set length={most - 2}.")
    weights = "none: from scratch" if random else f"the published ones of {name}"
    license_ = "" if random else "as its publisher says: check before you pass the encoder on"
    return model, tokenizer, {"model": f"st:{name}", "weights": weights, "license": license_}


def learned_tokenizer(titles: Sequence[str], vocabulary: int = _VOCABULARY) -> Any:
    """Learn word pieces from titles (WordPiece, Schuster and Nakajima 2012, as BERT has it).

    Args:
        titles: texts in normal form.
        vocabulary: most pieces.

    Returns:
        A fast tokenizer of transformers.
    """
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=list(_SPECIAL), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(titles, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, **names)


def _from_folder(name: str, random: bool) -> tuple[Any, Any]:
    import transformers

    auto: Any = transformers
    folder, _ = local_folder(name, "st")
    if (folder / "modules.json").is_file():  # of sentence-transformers: the transformer is its first module
        folder = folder / json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]["path"]
    with loading(folder):
        tokenizer = auto.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        if random:
            config = auto.AutoConfig.from_pretrained(str(folder), local_files_only=True)
            return auto.AutoModel.from_config(config), tokenizer
    return load_model(folder), tokenizer


def _random(kind: str, changes: dict[str, int], tokenizer: Any) -> Any:
    import transformers

    auto: Any = transformers
    padding = int(tokenizer.pad_token_id)
    config = auto.AutoConfig.for_model(kind, vocab_size=len(tokenizer), pad_token_id=padding, **changes)
    return auto.AutoModel.from_config(config)
