"""Every architecture of the published tables through the whole of `kembar train`: built, trained, exported, checked.

    python bench/architectures.py [--only resnet] [-o docs/figures/architectures.md]

From random weights and on 60 drawn posts, so that it needs neither a hub nor a GPU: it shows that a model trains and
runs from ONNX as it ran in torch, and nothing of how good it would be. Photo models see 64 x 64 pixels for an epoch.
Title models are built in the size of the published ones, but for their vocabulary, which is that of the posts.
`bench/encoders.py --train` has the figures where weights and a GPU are at hand.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from kembar.synthesis import Drawing, write_shop
from kembar.training.fit import Running
from kembar.training.program import train
from kembar.training.recipe import Recipe

PHOTOS = (
    "resnet18", "resnet50", "resnext50_32x4d", "densenet121", "efficientnet_b0", "efficientnet_b3", "eca_nfnet_l0",
    "eca_nfnet_l1", "dm_nfnet_f0", "swin_tiny_patch4_window7_224", "vit_base_patch16_224",
)  # fmt: skip
TITLES = {  # published model: its architecture and what of its size is not the architecture's default
    "bert-base-multilingual-uncased": ("Bert", {}),
    "cahya/bert-base-indonesian-1.5G": ("Bert", {}),
    "cahya/distilbert-base-indonesian": ("DistilBert", {}),
    "paraphrase-xlm-r-multilingual-v1": ("XLMRoberta", {"max_position_embeddings": 514}),
    "paraphrase-distilroberta-base-v1": ("Roberta", {"num_hidden_layers": 6, "max_position_embeddings": 514}),
}
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def title_model(folder: Path, kind: str, size: dict[str, int], titles: list[str]) -> str:
    """Build a transformer of a published size with random weights, and a tokenizer of the titles' words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(titles, trainers.WordPieceTrainer(vocab_size=500, special_tokens=[*SPECIAL.values()]))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(fast), pad_token_id=fast.pad_token_id, **size)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    return f"st:{folder}"


def rows(only: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as scratch:
        shop = Path(scratch) / "shop"
        write_shop(shop, 60, photos=Drawing(size=64, threads=1))
        catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
        titles = normalize(catalog.titles).to_list()
        common = {"epochs": 1, "batch": 16, "workers": 0}
        for name in PHOTOS:
            if only in name:
                size = 224 if name.endswith("224") else 64
                recipe = Recipe.photo(
                    model=f"timm:{name}", pretrained=False, image_size=size, augment="light", **common
                )
                yield row(name, catalog, recipe, Path(scratch))
        for name, (kind, size) in TITLES.items():
            if only in name:
                spec = title_model(Path(scratch) / kind, kind, size, titles)
                recipe = Recipe.title(model=spec, pooling="mean", length=16, lr=1e-5, **common)
                yield row(f"{name} ({kind})", catalog, recipe, Path(scratch))


def row(name: str, catalog: Catalog, recipe: Recipe, scratch: Path) -> str:
    started = time.perf_counter()
    trained = train(catalog, recipe, scratch / "encoder", overwrite=True, running=Running("cpu"))
    seconds = time.perf_counter() - started
    forms = {form.precision: form for form in trained.forms}
    cells = [f"{form.bytes / 1e6:.1f} | {form.parity.least:.4f}" for form in (forms["float32"], forms["int8"])]
    return f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "| model, from random weights | float32: MB | least cosine with torch | int8: MB | least cosine | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    for line in rows(arguments.only):
        lines.append(line)
        print(line, flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
