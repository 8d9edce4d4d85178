"""What is marked in two titles, and the bars of the evidence."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.service.pages.marks import LONGEST, marked
from kembar.service.pages.waterfall import WIDTH, bars
from properties import examples


def told(pieces) -> str:
    """Write pieces as text: what the other lacks in [ ], shared quantities and codes in ( )."""
    shown = []
    for piece in pieces:
        text = piece.text.strip()
        around = "[]" if piece.alone else "()" if piece.kind in ("quantity", "code") else None
        shown.append(f"{around[0]}{text}{around[1]}" if around else text)
    return " ".join(shown)


@pytest.mark.parametrize(
    ("left", "right", "one", "other"),
    [
        ("Sabun Dove 500 ml", "dove sabun 250ml", "Sabun Dove [500 ml]", "dove sabun [250ml]"),
        ("Kopi 1 kg", "kopi 1000gr bubuk", "Kopi (1 kg)", "kopi (1000gr) [bubuk]"),
        ("Denon AVR-4308CI", "denon avr4308ci", "Denon (AVR-4308CI)", "denon (avr4308ci)"),
        ("Galaxy S10", "Galaxy S10+", "Galaxy (S10)", "Galaxy [S10+]"),
        ("toner 305A", "toner 305X", "toner [305A]", "toner [305X]"),
        ("", "kaos", "", "[kaos]"),
        ("★ kaos ★", "KAOS", "★ kaos ★", "KAOS"),
        ("kaos <b>", "kaos", "kaos [<b>]", "kaos"),
        ("韩版帽子500毫升", "韩版鞋子 250 毫升", "韩版 [帽] 子 [500毫升]", "韩版 [鞋] 子 [250 毫升]"),
        ("ครีม 50 มล", "ครีม 30 มล", "ครีม [50 มล]", "ครีม [30 มล]"),
        ("كتاب أزرق", "كتاب أحمر", "كتاب [أزرق]", "كتاب [أحمر]"),
    ],
)
def test_what_is_marked(left, right, one, other) -> None:
    found = marked(left, right)
    assert (told(found[0]), told(found[1])) == (one, other)


@examples(80)
@given(st.text(max_size=60), st.text(max_size=60))
def test_marking_changes_no_character_and_is_symmetric(left, right) -> None:
    one, other = marked(left, right)
    assert "".join(piece.text for piece in one) == left
    assert "".join(piece.text for piece in other) == right
    assert marked(right, left) == (other, one)


@examples(30)
@example("0+一")
@given(st.text(max_size=60))
def test_equal_titles_have_nothing_marked(title) -> None:
    for pieces in marked(title, title):
        assert not any(piece.alone for piece in pieces)


def test_very_long_titles_are_cut() -> None:
    one, other = marked("a" * 5000, "b " * 5000)
    assert sum(len(piece.text) for piece in one) == LONGEST
    assert sum(len(piece.text) for piece in other) == LONGEST
    assert one[-1].text.endswith("…")


shares = st.lists(st.tuples(st.text(max_size=5), st.floats(-9, 9).map(lambda each: round(each, 3))), max_size=14)


@examples(60)
@given(shares)
def test_bars_lie_within_the_drawing_and_end_at_the_sum(kinds) -> None:
    found = bars(kinds)
    assert not kinds or found[-1].kind == "sum"
    for bar in found:
        assert -0.01 <= bar.left <= WIDTH + 0.01
        assert bar.left + bar.width <= WIDTH + 1.01
        assert 0 <= bar.zero <= WIDTH + 0.01
    if found:
        assert found[-1].share == pytest.approx(sum(share for _, share in kinds), abs=1e-6)
        assert sum(bar.share for bar in found[:-1]) == pytest.approx(found[-1].share, abs=1e-6)
        assert len(found) <= 11


def test_bars_in_their_order() -> None:
    found = bars([("photos", 3.0), ("words", -1.0), ("before looking at the two", -2.0)])
    assert [(bar.name, bar.kind) for bar in found] == [
        ("before looking at the two", "base"),
        ("photos", "for"),
        ("words", "against"),
        ("all together", "sum"),
    ]
    scale = WIDTH / 3  # from -2 to 1
    assert [bar.left for bar in found] == pytest.approx([0, 0, 2 * scale, 2 * scale - 1], abs=1.01)
    assert bars([]) == []
