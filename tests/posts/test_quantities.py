import re
from fractions import Fraction
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import CatalogError, EvidenceError
from kembar.posts import units as measures
from kembar.posts.quantities import Quantities
from kembar.posts.titles import normalize
from kembar.posts.units import CATEGORIES, LARGEST, UNITS, VETO
from places import DATA
from properties import examples

POSTS = DATA / "shopee" / "posts.csv"
needs_posts = pytest.mark.skipif(not POSTS.exists(), reason="the Shopee posts are not here; set KEMBAR_DATA")

Pairs = set[tuple[str, int]]


# The twin shares the grammar, not what is made of it: one title at a time, exact fractions, sets.
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("(?-u:", "(?a:"))


QUANTITY, PARCEL, RADIO, DEVICE, JOINED = (
    compiled(p) for p in (measures.QUANTITY, measures.PARCEL, measures.RADIO, measures.DEVICE, measures.JOINED)
)
NAMES = {name: unit for unit in UNITS for name in unit.names.split()}


def number(text: str, coarse: bool) -> Fraction | None:
    if mixed := re.fullmatch(r"(?:([1-9]) )?([1-7]) ?[/⁄] ?([2-8])", text):
        return Fraction(int(mixed[1] or 0)) + Fraction(int(mixed[2]), int(mixed[3]))
    marks = re.findall("[.,]", text)
    heads, tail = re.split("[.,]", text)[:-1], re.split("[.,]", text)[-1]
    groups = bool(marks) and 1 <= len(heads[0]) <= 3 and heads[0][0] != "0" and all(len(h) == 3 for h in heads[1:])
    if groups and len(set(marks)) == 1 and len(tail) == 3 and (len(marks) > 1 or not coarse):
        return Fraction("".join(heads) + tail)
    if groups and len(marks) > 1 and len(set(marks[:-1])) == 1 and marks[-1] != marks[0]:
        return Fraction("".join(heads) + "." + tail)
    return Fraction(text.replace(",", ".")) if len(marks) < 2 else None


def halves(chain: str, category: str, scale: int, coarse: bool) -> bool:
    fraction = re.search(r"(?:^|^[1-9] )(1/2|1/4|3/4|1/8|3/8|5/8)$", re.sub(r" ?[/⁄] ?", "/", chain))
    return bool(fraction) and category != "memory" and (coarse or (category == "pieces" and scale > 1))


def chained(chain: str, category: str, scale: int, coarse: bool) -> Pairs:
    if scale == 10**9 and re.fullmatch(r"[0-9]{2} ?[~-] ?[0-9]{2,3}", chain):
        return set()
    if category == "memory":
        chain = re.sub(r"^[0-9] ?[/+] ?([0-9]{2,4})$", r"\1", chain)
    if halves(chain, category, scale, coarse):
        return kept([(category, scale, number(chain, coarse))])
    parts = re.split("[x×*]", chain)
    found = []
    for place, part in enumerate(parts):
        packs = category in ("weight", "volume") and place < len(parts) - 1
        kind, size, fine = ("pieces", 1, False) if packs else (category, scale, coarse)
        found += [(kind, size, number(text, fine)) for text in re.findall(r"[0-9]+(?:[.,][0-9]+)*", part)]
    return kept(found)


def kept(found: list[tuple[str, int, Fraction | None]]) -> Pairs:
    values = {(kind, round(number * size)) for kind, size, number in found if number is not None}
    return {(kind, value) for kind, value in values if 1 <= value < LARGEST}


def twin_parse(title: str) -> Pairs:
    text = PARCEL.sub(r"\1 ", JOINED.sub(r"\1 x ", title.lower()))
    if RADIO.search(text) and DEVICE.search(text):
        text = RADIO.sub(r"\1 ", text)
    found: Pairs = set()
    for match in QUANTITY.finditer(text):
        if match["rate"]:
            continue
        if match["chain"]:
            unit = NAMES[match["pack"] or match["word"] or match["mark"]]
            found |= chained(match["chain"], unit.category, unit.scale, unit.coarse)
        for group, kind in (("times", "pieces"), ("isi", "pieces"), ("spf", "spf")):
            if match[group]:
                found |= chained(match[group], kind, 1, False)
    return found


def twin_shared(left: Pairs, right: Pairs, categories: tuple[str, ...]) -> int:
    both = {kind for kind, _ in left} & {kind for kind, _ in right} & set(categories)
    agree = {kind for kind, _ in left & right} & both
    if not both:
        return 0
    return -1 if not agree else int(agree == both)


def read(quantities: Quantities, row: int) -> Pairs:
    one = quantities[[row]]
    return {(CATEGORIES[c], int(v)) for c, v in zip(one.categories, one.values, strict=True)}


def conflict(left: str, right: str) -> bool:
    return bool(Quantities.parse([left]).conflicts(Quantities.parse([right]))[0])


WORDS = [
    *("250 ml", "250ml", "0,25 l", "1 kg", "1000 gr", "1.000 gr", "2x250 ml", "100gr x 3", "isi 12", "isi 1 lusin"),
    *("12 pcs", "4/64 gb", "64gb", "3 ply", "10x20 cm", "10cmx20cm", "1/2 kg", "1 1/2 kg", "1/4 inch", "spf 30/50"),
    *("98mb/s", "2.4g", "wireless", "1kg muat 6pcs", "45-84 kg", "12's", '4.5"', "0-6 bulan", "10.000mah", "7 watt"),
    *("1,234.5 ml", "1.234,5 kg", "1.2.3 cm", "0 gr", "x", "/", "-", "2", "m", "l", "a5", "sabun", "(", ".", "½ kg"),
]
TITLES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
SOUP = st.text(alphabet="0123456789 .,x/-+kgmlcinpsb'\"⁄", max_size=40)
PROMOS = st.lists(
    st.sampled_from(["promo", "termurah", "cod", "ready stok", "original", "bpom", "sale !!"]), max_size=3
)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("maling tts canned pork luncheon meat 397 gr", "397 g"),
        ("gula pasir 1,5kg", "1.5 kg"),
        ("gula pasir 1.5 kilo", "1.5 kg"),
        ("beras 1.250 kg", "1.25 kg"),
        ("hand soap melon, 1.000 ml", "1 l"),
        ("power bank 10.000mah", "10000 mah"),
        ("tangki 1,234.5 ml", "1.2345 l"),
        ("teh 2 ons", "200 g"),
        ("banana nugget 1/2kg roku", "500 g"),
        ("kopi 1 1/2 kg", "1.5 kg"),
        ("double tape 6 mm x 15 yard 1/4 inch", "6 mm, 6.35 mm, 13.716 m"),
        ("susu uht 36x115ml", "115 ml, 36 pieces"),
        ("susu uht 115 ml x 36 pcs", "115 ml, 36 pieces"),
        ("cerelac box 120 g x 2", "120 g, 2 pieces"),
        ("nivea lotion 400/200/100 ml", "100 ml, 200 ml, 400 ml"),
        ("isolasi 24mm x 4.5m", "2.4 cm, 4.5 m"),
        ("stiker dinding 45cmx 10m", "45 cm, 10 m"),
        ("kanebo 43x32x0,2 cm", "2 mm, 32 cm, 43 cm"),
        ('mangkuk kukuruyuk 4.5"', "11.43 cm"),
        ("coklat tobelo isi 45", "45 pieces"),
        ("peniti swan isi 1 lusin (12 pcs)", "12 pieces"),
        ("gelas 1 kodi", "20 pieces"),
        ("tropicana slim classic 50's", "50 pieces"),
        ("sabun bubuk isi 270g", "270 g"),
        ("asifit isi 3x10 kaplet", "3 doses, 10 doses"),
        ("samsung galaxy a21s 6/64 gb", "64 gb"),
        ("xiaomi redmi 9c 3gb+32gb", "3 gb, 32 gb"),
        ("microsd 64gb up to 100mb/s", "64 gb"),
        ("hardisk 1tb", "1 tb"),
        ("masker 3ply", "3 layers"),
        ("lampu led 1.5 w 24 volt", "1.5 w, 24 v"),
        ("skin aqua spf 50 pa+++ 40ml", "40 ml, 50 spf"),
        ("maycreate spray spf 150ml", "150 ml"),
        ("susu usia 0-6 bulan", "6 months"),
        ("terpal uk.30cm", "30 cm"),
        ("5kg毛巾", "5 kg"),
        ("SUSU 250 ML", "250 ml"),
        # false friends
        ("celana (bb 45-84 kg) harem", ""),
        ("[1kg=26pcs] belt wanita", ""),
        ("(1kg muat 6pcs) cozy kulot", ""),
        ("mouse wireless robot m210 2.4g", ""),
        ("oppo reno 4 4g garansi", ""),
        ("emina glossy stain 3g", "3 g"),
        ("kaos s m l xl 2xl", ""),
        ("tws 2in1 v5.0 type a5 2020", ""),
        ("kode dpt001-00 t 5", ""),
        ("beras 99999999999999999 kg", ""),
        ("beras 0 kg", ""),
        ("size 14.16.18 cm", ""),
        ("", ""),
    ],
)
def test_a_title_reads_as(title: str, expected: str) -> None:
    assert Quantities.parse([title]).describe(0) == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("garam 1 kg", "garam 1000 gr", False),
        ("garam 1 kg", "garam 1.000 gr", False),
        ("cuka 0.25 l", "cuka 250ml", False),
        ("garam 1 kg", "garam 500 gr", True),
        ("garam 1 kg", "garam", False),
        ("garam 1 kg", "garam 250 ml", False),
        ("sabun 100 ml 2 pc", "sabun 200 ml 2 pc", False),
        ("sabun 100 ml 2 pc", "sabun 200 ml 3 pc", True),
        ("peniti isi 12", "peniti 1 lusin", False),
        ("susu 1-3 tahun", "susu 4-6 tahun", False),
        ("lotion spf 30", "lotion spf 50", False),
    ],
)
def test_two_titles_conflict(left: str, right: str, expected: bool) -> None:
    assert conflict(left, right) is expected


def test_other_categories_conflict_when_asked() -> None:
    left, right = Quantities.parse(["lotion spf 30 40 ml"]), Quantities.parse(["lotion spf 50 60 ml"])
    assert left.conflicts(right, ("spf",)).tolist() == [True]
    assert left.conflicts(right, ("power",)).tolist() == [False]
    assert left.conflicts(right, ()).tolist() == [False]


def test_shared_tells_agreement_from_conflict_and_from_nothing() -> None:
    left = Quantities.parse(["100 ml 2 pcs"] * 5)
    right = Quantities.parse(["100 ml", "100 ml 2 pcs", "100 ml 3 pcs", "200 ml 3 pcs", "5 kg"])
    assert left.shared(right).tolist() == [1, 1, 0, -1, 0]
    assert left.shared(right).dtype == np.int8


@examples(30)
@given(st.lists(st.one_of(TITLES, SOUP), max_size=20))
def test_parsing_equals_the_twin(titles: list[str]) -> None:
    quantities = Quantities.parse(titles)
    assert len(quantities) == len(titles)
    for row, title in enumerate(titles):
        assert read(quantities, row) == twin_parse(title), title


@examples(30)
@given(st.lists(st.tuples(TITLES, TITLES), min_size=1, max_size=12), st.sampled_from([VETO, CATEGORIES, ("weight",)]))
def test_comparing_equals_the_twin(pairs: list[tuple[str, str]], categories: tuple[str, ...]) -> None:
    left, right = (Quantities.parse(list(side)) for side in zip(*pairs, strict=True))
    expected = [twin_shared(twin_parse(a), twin_parse(b), categories) for a, b in pairs]
    assert left.shared(right, categories).tolist() == expected
    assert left.conflicts(right, categories).tolist() == [sign == -1 for sign in expected]


@examples(20)
@given(st.lists(st.one_of(TITLES, SOUP), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_conflicts_are_symmetric_and_irreflexive_and_row_by_row(titles: list[str], random: Random) -> None:
    quantities = Quantities.parse(titles)
    n = len(titles)
    left, right = np.divmod(np.arange(n * n), n)
    table = quantities[left].conflicts(quantities[right]).reshape(n, n)
    assert not table.diagonal().any()
    assert (table == table.T).all()
    order = list(range(n))
    random.shuffle(order)
    shuffled = Quantities.parse([titles[i] for i in order])
    assert (shuffled[left].conflicts(shuffled[right]).reshape(n, n) == table[np.ix_(order, order)]).all()


@examples(20)
@given(st.lists(st.tuples(TITLES, PROMOS, PROMOS), max_size=6))
def test_promotion_changes_nothing(rows: list[tuple[str, list[str], list[str]]]) -> None:
    plain = Quantities.parse([title for title, _, _ in rows])
    promoted = Quantities.parse([" ".join([*before, title, *after]) for title, before, after in rows])
    assert [read(plain, row) for row in range(len(rows))] == [read(promoted, row) for row in range(len(rows))]


@examples(30)
@given(st.integers(1, 10**9), st.sampled_from(UNITS), st.sampled_from(["", " "]))
def test_every_spelling_of_a_unit_is_the_same_quantity(count: int, unit: measures.Unit, gap: str) -> None:
    quantities = Quantities.parse([f"sabun {count}{gap}{name} wangi" for name in unit.names.split() if name != "g"])
    expected = {(unit.category, count * unit.scale)} if count * unit.scale < LARGEST else set()
    assert all(read(quantities, row) == expected for row in range(len(quantities)))


@examples(30)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_any_text_is_read_into_sorted_positive_values(titles: list[str]) -> None:
    quantities = Quantities.parse(titles)
    assert quantities.offsets.dtype == quantities.values.dtype == np.int64
    assert quantities.categories.dtype == np.int8
    assert ((quantities.values >= 1) & (quantities.values < LARGEST)).all()
    rows = np.repeat(np.arange(len(titles)), np.diff(quantities.offsets))
    keys = list(zip(rows.tolist(), quantities.categories.tolist(), quantities.values.tolist(), strict=True))
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    "title",
    [
        "9" * 4000 + " kg",
        "1x" * 3000 + "1 ml",
        "1 ml " * 3000,
        "1/2" * 2000 + " kg",
        "1.000" * 2000 + " gr",
        "\x00 5 kg",
    ],
)
def test_hostile_titles_are_read_and_compared(title: str) -> None:
    quantities = Quantities.parse([title, "7 kg 3 ml 99 pcs"])
    assert read(quantities, 0) == twin_parse(title)
    assert quantities[[0]].conflicts(quantities[[0]]).tolist() == [False]
    assert quantities[[0]].shared(quantities[[1]])[0] == twin_shared(twin_parse(title), read(quantities, 1), VETO)


def test_many_quantities_in_one_title() -> None:
    left = Quantities.parse([" ".join(f"{i} ml" for i in range(1, 999))])
    right = Quantities.parse([" ".join(f"{i} ml" for i in range(998, 2000))])
    beyond = Quantities.parse([" ".join(f"{i} ml" for i in range(999, 2000))])
    assert left.conflicts(right).tolist() == [False]
    assert left.conflicts(beyond).tolist() == [True]


def test_no_titles_and_null_titles() -> None:
    nothing = Quantities.parse([])
    assert len(nothing) == 0
    assert nothing.conflicts(nothing).shape == (0,)
    assert len(nothing[[]]) == 0
    nulls = Quantities.parse(pl.Series([None, "5 kg", None], dtype=pl.String))
    assert [nulls.describe(row) for row in range(3)] == ["", "5 kg", ""]
    assert len(Quantities.parse(pl.Series([None, None]))) == 2


def test_taking_rows_repeats_and_reorders() -> None:
    quantities = Quantities.parse(["5 kg", "", "2x3 ml"])
    taken = quantities[np.array([2, 2, 1, 0], np.int32)]
    assert [taken.describe(row) for row in range(4)] == ["3 ml, 2 pieces", "3 ml, 2 pieces", "", "5 kg"]


@pytest.mark.parametrize("rows", [[3], [-1], [0.5], [[0]], 0])
def test_rows_out_of_range_are_refused(rows: object) -> None:
    with pytest.raises(EvidenceError, match="of 3 titles"):
        Quantities.parse(["5 kg", "", "3 ml"])[rows]  # type: ignore[index]


def test_misfits_are_refused() -> None:
    one, two = Quantities.parse(["5 kg"]), Quantities.parse(["5 kg", "3 ml"])
    with pytest.raises(EvidenceError, match="of 1 and of 2 titles"):
        one.conflicts(two)
    with pytest.raises(EvidenceError, match="'colour'"):
        one.conflicts(one, ("colour",))
    with pytest.raises(EvidenceError, match="names out of"):
        one.conflicts(one, "weight")
    with pytest.raises(EvidenceError, match="offsets that rise"):
        Quantities(np.array([0, 2]), np.zeros(1, np.int8), np.ones(1, np.int64))


@pytest.mark.parametrize("titles", ["5 kg", [1, 2], pl.Series([1.5]), ["5 kg", b"5 kg"]])
def test_titles_that_are_no_strings_are_refused(titles: object) -> None:
    with pytest.raises(CatalogError, match="titles"):
        Quantities.parse(titles)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def posts() -> pl.DataFrame:
    return pl.read_csv(POSTS).select("title", "label_group").with_row_index("row")


@pytest.fixture(scope="module")
def real(posts: pl.DataFrame) -> Quantities:
    return Quantities.parse(posts["title"])


@needs_posts
def test_real_titles_read_as_the_twin_reads_them(posts: pl.DataFrame, real: Quantities) -> None:
    for row in np.random.default_rng(0).choice(len(real), 2000, replace=False).tolist():
        assert read(real, row) == twin_parse(posts["title"][row]), posts["title"][row]


@needs_posts
def test_a_million_real_pairs_against_the_twin_on_a_sample(real: Quantities) -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(0, len(real), (2, 1_000_000))
    signs = real[left].shared(real[right])
    assert (real[left].conflicts(real[right]) == (signs == -1)).all()
    for sign in (-1, 0, 1):
        for at in rng.choice(np.flatnonzero(signs == sign), 300):
            assert twin_shared(read(real, left[at]), read(real, right[at]), VETO) == sign


@needs_posts
def test_the_veto_costs_few_true_pairs(posts: pl.DataFrame, real: Quantities) -> None:
    pairs = posts.join(posts, on="label_group").filter(pl.col("row") < pl.col("row_right"))
    left, right = pairs["row"].to_numpy(), pairs["row_right"].to_numpy()
    true = real[left].shared(real[right])
    chance = real[left].shared(real[np.random.default_rng(2).permutation(right)])
    assert 0.008 < (true == -1).mean() < 0.015
    # where both titles say something, true pairs mostly agree and others mostly do not
    assert (true[true != 0] == -1).mean() < 0.2
    assert (chance[chance != 0] == -1).mean() > 0.8


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("舒潔濕式衛生紙40抽x3包", "3 pieces, 40 pieces"),
        ("Смартфон 128 ГБ черный", "128 gb"),
        ("زيت زيتون ٥٠٠ مل", "500 ml"),
        ("گوشی ۱۲۸ گیگابایت", "128 gb"),
        ("नमक ५०० ग्राम", "500 g"),
        ("ครีม 50 มล", "50 ml"),
        ("간식 30 그램 12개", "30 g, 12 pieces"),
        ("Wesson Canola Oil, 1 gal jug", "3.785412 l"),
        ("Wesson canola oil 48 fl oz", "1.419552 l"),
        ("Downy 9.7 oz", "274.990373 g"),
        ("Dove 340 ml Twinpack", "340 ml, 2 pieces"),
        ("Duracell AA, pack of 4", "4 pieces"),
        ("Duracell AA 8-pack", "8 pieces"),
        ("Lysol 80 ct. (Pack of 6)", "6 pieces, 80 pieces"),
        ("Vitalis 450ml paket 3 botol", "450 ml, 3 pieces"),
        ("Eier 10 Stück", "10 pieces"),
        ("Valduero 75cl", "750 ml"),
        ("Bertolli 0,75 l", "750 ml"),
        ("Backpack 30 black", ""),
    ],
)
def test_units_of_many_languages(title: str, told: str) -> None:
    assert Quantities.parse(normalize(pl.Series([title]))).describe(0) == told


def test_the_most_pieces_of_each_title() -> None:
    found = Quantities.parse(pl.Series(["85g isi 40", "1 pack isi 5", "85 g", ""])).pieces()
    np.testing.assert_array_equal(found, [40, 5, np.nan, np.nan])
