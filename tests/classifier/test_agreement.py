"""What identifiers add to the log-odds: estimated, bounded, and overruled."""

from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.classifier.agreement import (
    GTIN,
    OTHER,
    Guess,
    agreement_weights,
    identifier_weights,
    weighed_by_identifiers,
)
from kembar.evidence.pairs import SIMILARITY, Pairs
from properties import examples

NAN = float("nan")


def pairs(probability: list[float], **columns: list[float]) -> Pairs:
    ends = np.zeros(len(probability), dtype=np.int64), np.arange(1, len(probability) + 1)
    evidence = {f"equal {name}": np.array(column, dtype=np.float32) for name, column in columns.items()}
    return Pairs(*ends, {SIMILARITY: np.array(probability, dtype=np.float32), **evidence})


def weighed(given: Pairs, gtins: Collection[str], packs: np.ndarray | None = None, *, learned: bool = True) -> Pairs:
    return weighed_by_identifiers(given, identifier_weights([given], gtins, learned=learned), packs)


def test_equal_codes_speak_for_and_unequal_ones_against() -> None:
    found = weighed(pairs([0.1, 0.9, 0.5], gtin=[1, 0, NAN]), {"equal gtin"}).evidence
    assert found[SIMILARITY][0] > 0.9
    assert found[SIMILARITY][1] < 0.5
    assert found[SIMILARITY][2] == 0.5
    assert found["equal gtin_weight"][2] == 0


def test_unequal_part_numbers_say_less_than_unequal_gtins() -> None:
    given = pairs([0.9], gtin=[0])
    gtin, other = (weighed(given, names).evidence[SIMILARITY][0] for names in ({"equal gtin"}, ()))
    assert gtin < other < 0.9


def test_both_can_be_overruled() -> None:
    found = weighed(pairs([0.0002, 0.9995], gtin=[1, 0]), {"equal gtin"}).evidence[SIMILARITY]
    assert found[0] < 0.5 < found[1]


def test_a_probability_of_0_stays() -> None:
    found = weighed(pairs([0, 0, 0.2], gtin=[1, 0, 1]), {"equal gtin"}).evidence
    assert found[SIMILARITY][:2].tolist() == [0, 0]
    assert found["equal gtin_weight"][:2].tolist() == [0, 0]


def test_codes_that_sure_pairs_do_not_share_say_nothing_in_the_end() -> None:
    """Every shop has numbers of its own."""
    many = 20_000
    found = weighed(pairs([0.99] * many + [0.01] * many, sku=[0] * 2 * many), ())
    assert found.evidence["equal sku_weight"].min() > -0.02


def test_two_kinds_of_code_add_no_more_than_one_can() -> None:
    given = pairs([0.06], gtin=[1], mpn=[1], isbn=[1])
    one = weighed(pairs([0.06], gtin=[1]), {"equal gtin"})
    assert weighed(given, {"equal gtin"}).evidence[SIMILARITY] == one.evidence[SIMILARITY]


def test_without_identifiers_nothing_changes() -> None:
    given = pairs([0.3])
    assert weighed(given, ()) is given


def test_for_rules_the_guesses_hold() -> None:
    many = 5000
    given = pairs([0.99] * many, sku=[0] * many)
    weight = weighed(given, (), learned=False).evidence["equal sku_weight"]
    assert weight[0] == pytest.approx(np.log((1 - OTHER.one) / (1 - OTHER.two)))


@examples(100)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.booleans()), max_size=300), st.sampled_from([GTIN, OTHER])
)
def test_weights_are_the_log_ratios_of_shares(seen: list[tuple[float, bool]], guess: Guess) -> None:
    column = np.array([value for value, _ in seen], dtype=np.float32)
    one = np.array([same for _, same in seen], dtype=bool)
    sides = [column[one], column[~one]]
    counts = [[np.count_nonzero(side == 1), np.count_nonzero(~np.isnan(side))] for side in sides]
    equal, unequal = agreement_weights(np.array(counts), guess)
    shares = []
    for kind, expected in ((True, guess.one), (False, guess.two)):
        known = [value for value, same in seen if same is kind and value == value]
        shares.append((sum(known) + 200 * expected) / (len(known) + 200))
    m, u = shares
    assert equal == pytest.approx(min(7, max(0, np.log(m / u))))
    assert unequal == pytest.approx(max(-guess.against, min(0, np.log((1 - m) / (1 - u)))))


def test_a_pack_with_the_code_of_what_is_in_it() -> None:
    given = pairs([0.4, 0.4, 0.4, 0.4], gtin=[1, 1, 0, 0])
    found = weighed(given, {"equal gtin"}, np.array([True, False, True, False])).evidence[SIMILARITY]
    assert found[0] == np.float32(0.4) < found[1]
    assert found[2] == found[3] < 0.4


def test_parts_of_the_pairs_weigh_what_all_weigh() -> None:
    rng = np.random.default_rng(0)
    codes = rng.choice([0.0, 1.0, NAN], 500).tolist()
    given = pairs(rng.random(500).tolist(), gtin=codes, sku=codes[::-1])
    parts = [given.take(rows) for rows in np.array_split(np.arange(500), 7)]
    whole = identifier_weights([given], {"equal gtin"})
    assert identifier_weights(parts, {"equal gtin"}) == whole
    assert set(whole) == {"equal gtin", "equal sku"}
