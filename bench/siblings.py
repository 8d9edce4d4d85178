"""Made siblings: titles changed so that they name another product of the same family.

Labelled catalogues hold few siblings side by side (250 ml and 500 ml of one shampoo), so a classifier does not learn
what tells them apart. `change` takes the titles of one product and gives those of a sibling: another number, code,
size, variety or pack, one variant word more, or an accessory for the thing.
"""

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

Vocabulary = Mapping[str, Sequence[str]]
Changed = list[str | None]

UNITS = (
    "kg|g|gr|gram|ml|l|ltr|liter|mm|cm|m|inch|gb|tb|mb|mah|watt|w|v|pcs|pc|ct|pack|oz|lb|ply|bungkus|lembar|sheet|sachet"
    "|tablet|kapsul"
)
NUMBER = re.compile(rf"(?<![a-z0-9.,])(\d+(?:[.,]\d+)?)(?=\s?(?:{UNITS})\b|\b)", re.IGNORECASE)
CODE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9-]*\d)(?=[A-Za-z0-9-]*[A-Za-z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?![A-Za-z0-9])"
)
WORD = re.compile(r"[^\W\d_]{4,}")
SIZES = (
    ("s", "m", "l", "xl", "xxl"),
    ("small", "medium", "large"),
    ("aa", "aaa"),
    ("i", "ii", "iii", "iv"),
    ("kiri", "kanan"),
    ("left", "right"),
    ("pria", "wanita"),
    ("men", "women"),
    ("mens", "womens"),
    ("kids", "adult"),
    ("anak", "dewasa"),
)
ROW_OF = {word: row for row in SIZES for word in row}
VARIANTS = (
    *("pro", "max", "plus", "mini", "lite", "ultra", "ti", "super", "se", "xl", "slim", "air", "neo", "refill"),
    *("sample", "travel", "junior", "kids", "premium", "deluxe", "v2", "ii", "iii", "5g"),
)
THINGS = ("case for {}", "casing {}", "cover {}", "{} case", "tempered glass {}", "charger {}", "kabel {}", "box {}")
PACKS = ("{} isi {n}", "{} {n} pcs", "{} paket {n}", "{} {n} pack", "pack of {n} {}", "{n} x {}", "{} x {n}")
COUNTS = (2, 3, 4, 5, 6, 10, 12, 20, 24, 40)
TRIES = 6


def vocabulary(titles: Sequence[str]) -> Vocabulary:
    """Name for each word that tells a variety others that stand behind the same word: vanilla, chocolate."""
    after: dict[str, set[str]] = defaultdict(set)
    count: Counter[str] = Counter()
    for title in titles:
        words = WORD.findall(title.lower())
        count.update(set(words))
        for word, following in itertools.pairwise(words):
            after[word].add(following)
    found: dict[str, set[str]] = defaultdict(set)
    for words in after.values():
        rare = {word for word in words if count[word] <= max(3, len(titles) * 0.02)}
        if 2 <= len(rare) <= 60:
            for word in rare:
                found[word] |= rare - {word}
    return {word: sorted(others) for word, others in found.items()}


def change(titles: Sequence[str], draw: random.Random, words: Vocabulary) -> Changed | None:
    """Change the titles of one product in the same way.

    Args:
        titles: of one product.
        draw: what chooses.
        words: see `vocabulary`.

    Returns:
        The titles of a sibling, None for a title that says nothing of what was changed; None where nothing could be.
    """
    for _ in range(TRIES):
        made = draw.choice(KINDS)(titles, draw, words)
        if made and any(new not in (None, old) for new, old in zip(made, titles, strict=True)):
            return [None if new == old else new for new, old in zip(made, titles, strict=True)]
    return None


def _picked(found: list[set[str]], draw: random.Random) -> str | None:
    """Choose what all titles say, where there is such a thing, else what one says."""
    every = sorted(set.intersection(*found)) or sorted(set.union(*found))
    return draw.choice(every) if every else None


def _number(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed | None:
    found = [set(NUMBER.findall(title)) for title in titles]
    picked = _picked(found, draw)
    if picked is None:
        return None
    pattern = re.compile(rf"(?<![0-9.,]){re.escape(picked)}(?![0-9]|[.,]\d)")
    new = _other_number(picked, draw)
    return [pattern.sub(new, title) if picked in own else None for title, own in zip(titles, found, strict=True)]


def _other_number(text: str, draw: random.Random) -> str:
    value = float(text.replace(",", "."))
    tried = [value * by for by in (2, 0.5, 1.5, 4, 10, 0.25)] + [value + by for by in (1, -1, 5, -10, 100)]
    tried = [each for each in tried if each > 0 and (each == int(each) or value != int(value))]
    chosen = draw.choice(tried or [value + 1])
    return str(int(chosen)) if chosen == int(chosen) else f"{chosen:.1f}"


def _code(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed | None:
    found = [{code for code in CODE.findall(title) if len(code) >= 4} for title in titles]
    every = sorted(set.union(*found))
    if not every:
        return None
    picked = draw.choice(every)
    place = draw.choice([at for at, sign in enumerate(picked) if sign.isdigit()])
    digit = str((int(picked[place]) + draw.randint(1, 8)) % 10)
    new = picked[:place] + digit + picked[place + 1 :]
    if draw.random() < 0.3:
        new = picked + draw.choice("abcrsx") if draw.random() < 0.5 or len(picked) == 4 else picked[:-1]
    return [title.replace(picked, new) if picked in own else None for title, own in zip(titles, found, strict=True)]


def _variant(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed:
    word = draw.choice(VARIANTS)
    return [_inserted(title.split(" "), word, draw) for title in titles]


def _inserted(words: list[str], word: str, draw: random.Random) -> str:
    at = min(len(words), draw.choice([1, 2, 2, 3, len(words)]))
    return " ".join([*words[:at], word, *words[at:]])


def _pack(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed:
    count, form = draw.choice(COUNTS), draw.choice(PACKS)
    return [form.format(title, n=count) for title in titles]


def _thing(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed:
    form = draw.choice(THINGS)
    return [form.format(title) for title in titles]


def _size(titles: Sequence[str], draw: random.Random, _: Vocabulary) -> Changed | None:
    found = [set(re.findall(r"[a-z]+", title.lower())) & ROW_OF.keys() for title in titles]
    every = sorted(set.union(*found))
    if not every:
        return None
    picked = draw.choice(every)
    new = draw.choice([word for word in ROW_OF[picked] if word != picked])
    pattern = re.compile(rf"(?<![a-z]){picked}(?![a-z])", re.IGNORECASE)
    return [pattern.sub(new, title) if picked in own else None for title, own in zip(titles, found, strict=True)]


def _variety(titles: Sequence[str], draw: random.Random, words: Vocabulary) -> Changed | None:
    said = [set(WORD.findall(title.lower())) for title in titles]
    known = sorted(word for word in set.intersection(*said) if words.get(word))
    if not known:
        return None
    picked = draw.choice(known)
    pattern = re.compile(rf"(?<![^\W\d_]){re.escape(picked)}(?![^\W\d_])", re.IGNORECASE)
    new = draw.choice(words[picked])
    return [pattern.sub(new, title) for title in titles]


Kind = Callable[[Sequence[str], random.Random, Vocabulary], Changed | None]
KINDS: tuple[Kind, ...] = (
    *(_number,) * 5, *(_code,) * 3, *(_variant,) * 3, *(_pack,) * 2, *(_size,) * 3, *(_variety,) * 4, _thing,
)  # fmt: skip
