from itertools import pairwise

import numpy as np
import pytest

from kembar.arrays import Rows
from kembar.evidence.pairs import SIMILARITY
from kembar.matcher import Matcher
from kembar.newcomers import Base, Model, Part, Prepared, among, compare, fitted_on, prepared
from kembar.posts.catalog import Catalog
from kembar.posts.united import stacked
from kembar.synthesis import synthesize


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher()


@pytest.fixture(scope="module")
def ready(matcher: Matcher) -> Prepared:
    shop = synthesize(150).posts.sort("posting_id")
    return prepared(Catalog.read(shop.select("posting_id", "title")), matcher)


@pytest.fixture(scope="module")
def model(ready: Prepared, matcher: Matcher) -> Model:
    return fitted_on(ready, matcher)


@pytest.fixture(scope="module")
def whole(ready: Prepared, model: Model) -> Part:
    return Part.of(ready.compared, ready.vectors, model)


def base(whole: Part, known: int, cuts: tuple[int, ...] = ()) -> Base:
    bounds = [0, *cuts, known]
    parts = [whole.take(np.arange(a, b)).indexed() for a, b in pairwise(bounds)]
    return Base(tuple(parts), np.zeros(known, dtype=bool))


def likely(pairs, rows: Rows) -> dict[tuple[int, int], float]:
    found = {}
    for left, right, p in zip(pairs.left, pairs.right, pairs.evidence[SIMILARITY], strict=True):
        found[tuple(sorted((int(rows[left]), int(rows[right]))))] = round(float(p), 5)
    return found


def test_posts_that_are_all_new_are_compared_as_in_a_run(whole: Part, model: Model, ready: Prepared, matcher: Matcher):
    """The slow twin is the whole way of a run, in which these posts are a catalogue."""
    found = compare(whole, base(whole, 0), model)
    run = matcher.match(ready.posts)
    assert likely(found.pairs, np.arange(len(whole))) == likely(run.pairs, np.arange(len(whole)))
    np.testing.assert_array_equal(found.cut_off, run.cut_off)


def test_a_new_post_is_told_what_a_run_over_all_posts_tells_of_it(whole: Part, model: Model, matcher, ready: Prepared):
    known = 100
    found = likely_of_new(whole, model, known)
    run = likely(matcher.match(ready.posts).pairs, np.arange(len(whole)))
    sure = {pair for pair, p in run.items() if p >= 0.5 and pair[0] < known <= pair[1]}
    told = {pair for pair, p in found.items() if p >= 0.5 and pair[0] < known <= pair[1]}
    assert len(sure) > 30
    assert len(sure & told) >= 0.95 * len(sure | told)


def likely_of_new(whole: Part, model: Model, known: int, cuts: tuple[int, ...] = ()) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    there = base(whole, known, cuts)
    for row in range(known, len(whole)):
        compared = compare(whole.take(np.array([row])), there, model)
        found |= likely(compared.pairs, np.append(compared.near, row))
    return found


def test_how_known_posts_are_cut_into_parts_changes_little(whole: Part, model: Model):
    """Each part gives its own nearest posts: more of them are looked at, which the sure ones do not mind."""
    one, three = likely_of_new(whole, model, 120), likely_of_new(whole, model, 120, (70, 110))
    sure = [{pair for pair, p in each.items() if p >= 0.5} for each in (one, three)]
    assert len(sure[0] & sure[1]) >= 0.95 * len(sure[0] | sure[1])


def test_posts_that_are_gone_are_not_found(whole: Part, model: Model):
    there = base(whole, 120)
    new = whole.take(np.arange(120, 150))
    near = there.near(new)
    gone = there.gone.copy()
    gone[near[::2]] = True
    without = Base(there.parts, gone)
    assert set(without.near(new)) == set(near) - set(near[::2])


def test_parts_can_be_taken_apart_and_joined_again(whole: Part, model: Model):
    rows = np.random.default_rng(1).permutation(len(whole))
    again = Part.joined([whole.take(rows[:40]), whole.take(rows[40:])]).take(np.argsort(rows))
    left, right = np.triu_indices(30, 1)
    for one, other in zip(whole.views, again.views, strict=True):
        np.testing.assert_array_equal(one.score(left, right), other.score(left, right))
    for scorer, same in ((whole.titles, again.titles), (whole.tokens, again.tokens)):
        for a, b in zip(scorer.score(left, right), same.score(left, right), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_posts_without_some_evidence_are_compared_by_what_they_have(matcher: Matcher, model: Model, whole: Part):
    hashed = Catalog.read(
        {"posting_id": ["x", "y"], "title": [whole.posts.titles[3], ""], "image_phash": ["94974f937d4c2433"] * 2}
    )
    ready = prepared(hashed, matcher)
    found = compare(Part.of(ready.compared, ready.vectors, model), base(whole, 150), model)
    assert "hash" in found.pairs.evidence
    known = found.pairs.left < len(found.near)
    assert np.isnan(found.pairs.evidence["hash"][known]).all()
    assert found.probability[known].max() > 0.5


def test_words_that_the_catalogue_does_not_know_are_compared_too(matcher: Matcher, model: Model, whole: Part):
    texts = ["zzyqua klomptor 77 ml", "klomptor zzyqua 77ml", "klomptor zzyqua 99 ml"]
    posts = prepared(Catalog.read({"posting_id": ["x", "y", "z"], "title": texts}), matcher)
    found = compare(Part.of(posts.compared, posts.vectors, model), base(whole, 150), model)
    rows = np.append(found.near, [1000, 1001, 1002])
    told = likely(found.pairs, rows)
    assert told[(1000, 1001)] > 0.5
    assert told.get((1000, 1002), 0.0) == 0.0


def test_known_posts_among_themselves_are_seen_as_if_they_were_new(whole: Part, model: Model):
    there = base(whole, 150)
    found = among(there, np.array([5, 60]), model)
    assert (found.pairs.right >= len(found.near)).all()
    assert not {5, 60} & set(found.near)


def test_a_prepared_catalogue_keeps_what_was_given(matcher: Matcher):
    """A photo of one colour is set aside where posts are compared, and stays where they are kept."""
    given = Catalog.read({"posting_id": ["a", "b"], "title": ["x", "sabun"], "image_phash": ["8000000000000000"] * 2})
    ready = prepared(stacked([given]), matcher)
    assert ready.posts.hashed.all()
    assert not ready.compared.hashed.any()
    assert ready.take(np.array([1])).posts.ids.to_list() == ["b"]


def test_parts_that_were_joined_can_be_joined_again(whole: Part):
    """Words keep their columns: a part of late posts is joined to the one before again and again."""
    a, b, c = (whole.take(rows) for rows in np.split(np.arange(len(whole)), [60, 110]))
    twice, once = Part.joined([Part.joined([a, b]), c]), Part.joined([a, b, c])
    left, right = np.triu_indices(len(whole), 1)
    for one, other in ((twice.titles, once.titles), (twice.tokens, once.tokens)):
        for x, y in zip(one.score(left, right), other.score(left, right), strict=True):
            np.testing.assert_array_equal(x, y)
