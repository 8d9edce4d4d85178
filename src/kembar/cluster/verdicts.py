"""The stages from compared pairs to probabilities: ranks among the candidates of both ends, then the classifier."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kembar.arrays import Floats, offsets_of
from kembar.classifier.classify import concluded, evenly, judged, seen, spare_weights
from kembar.classifier.drift import FEWEST
from kembar.classifier.features import Features
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.ranks import Company, Standing, accompanied, companions, crowded, figures_of, ranked
from kembar.cluster.shared import Shared
from kembar.cluster.work import Task
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scorers import CONFLICT
from kembar.matcher import code_weights, with_codes


def ranks(shared: Shared, task: Task) -> dict[str, Any]:
    """Rank the candidates of the posts of a part, by each similarity.

    Returns:
        own: (c, m) float32, ranks of the pairs of this part among the candidates of their left posts; others: (c, k)
        float32, ranks of the pairs whose right post is of this part, among the candidates of these, by the part of
        their left post, and offsets, (part + 2,) of these parts; posts: (c, p, n) float32 figures of the posts, see
        `Standing`; company: see `companions`, or None.
    """
    part, classifier = task.part or 0, _classifier(shared)
    begin, end = map(int, shared.parts.bounds[part : part + 2])
    own = _seen(shared, part)
    columns = _columns(own)
    sources, targets, lengths = [own.left], [own.right], []
    scores = [[own.evidence[name] for name in columns]]
    for other in range(part + 1):
        found = own if other == part else _seen(shared, other)
        here = shared.parts.among(part, found.right)
        sources.append(found.right[here])
        targets.append(found.left[here])
        scores.append([found.evidence[name][here] for name in columns])
        lengths.append(len(here))
    source, crowds = np.concatenate(sources), crowded(classifier.names)
    similarities = [np.concatenate(score) for score in zip(*scores, strict=True)]
    made = [ranked(source - begin, score, end - begin, crowds=crowds) for score in similarities]
    rank = np.stack([each for each, _ in made])
    company = None
    if SIMILARITY in columns and accompanied(classifier.names, SIMILARITY):
        at = columns.index(SIMILARITY)
        company = companions(
            (source, np.concatenate(targets)), rank[at], similarities[at], (begin, end), len(shared.kept)
        )
    return {
        "own": rank[:, : len(own)],
        "others": rank[:, len(own) :],
        "offsets": offsets_of(np.array(lengths)),
        "posts": np.stack([post for _, post in made]),
        "company": company,
    }


def judgements(shared: Shared, task: Task) -> dict[str, Any]:
    """Let the classifier judge the pairs of a part, and describe those by which drift is looked for."""
    part, classifier = task.part or 0, _classifier(shared)
    pairs = shared.pairs(part)
    features = Features(pairs.left, pairs.right, (*_standings(shared, part), *_company(shared)), shared.scorers)
    before = shared.before
    looked_at = evenly(int(before[-1])) if before[-1] >= FEWEST else np.zeros(0, dtype=np.int64)
    here = looked_at[(looked_at >= before[part]) & (looked_at < before[part + 1])] - before[part]
    probability, conflict = judged(pairs, features, classifier, every=bool(shared.spare))
    sample = features.table(classifier.names, here)
    return {"probability": probability, "conflict": conflict, "sample": sample}


def weighed(shared: Shared, _task: Task) -> dict[str, Any]:
    """Estimate, by all pairs, what evidence weighs that the classifier has not learned from.

    Returns:
        cosines: see `spare_weights`; codes: see `identifier_weights`.
    """
    classifier, parts = shared.classifier, range(len(shared.parts))

    def judged_pairs() -> Iterator[tuple[Pairs, Floats]]:
        return ((shared.pairs(part), shared.work.read("judgements", part)["probability"]) for part in parts)

    cosines = {} if classifier is None else spare_weights(judged_pairs, classifier, shared.spare)
    so_far = (_concluded(shared, part, cosines) for part in parts)
    return {"cosines": cosines, "codes": code_weights(so_far, shared.kept, learned=classifier is not None)}


def final_pairs(shared: Shared, part: int) -> Pairs:
    """Give the pairs of a part with all evidence and their final similarity."""
    if not weighs_all(shared):
        return _concluded(shared, part, {})
    weights = shared.work.read("weighed")
    pairs = _concluded(shared, part, weights["cosines"])
    return with_codes(pairs, shared.work.read("quantities"), weights["codes"])


def _concluded(shared: Shared, part: int, cosines: Mapping[str, Floats]) -> Pairs:
    """Give the pairs of a part with what is known of them but for identifiers."""
    pairs, classifier = shared.pairs(part), shared.classifier
    if classifier is None:
        return pairs
    made = shared.work.read("judgements", part)
    return concluded(pairs, (made["probability"], made["conflict"]), cosines, classifier)


def weighs_all(shared: Shared) -> bool:
    """Tell whether some evidence can only be weighed by all pairs."""
    return bool(shared.spare) or shared.kept.identifiers is not None


def look_for_drift(shared: Shared) -> None:
    """Warn, in the log, where pairs are unlike those that the classifier learned from."""
    samples = [shared.work.read("judgements", part)["sample"] for part in range(len(shared.parts))]
    if sum(map(len, samples)):
        _classifier(shared).drift(np.concatenate(samples))


def _standings(shared: Shared, part: int) -> list[Standing]:
    """Put together how the pairs of a part stand among the candidates of both ends."""
    pairs, columns = _seen(shared, part), _columns(_seen(shared, part))
    rank = np.full((len(columns), 2, len(pairs)), np.nan, dtype=np.float32)
    rank[:, 0] = shared.work.read("ranks", part)["own"]
    for other in range(part, len(shared.parts)):
        made = shared.work.read("ranks", other)
        begin, end = made["offsets"][part : part + 2]
        rank[:, 1, shared.parts.among(other, pairs.right)] = made["others"][:, begin:end]
    figures = figures_of(crowds=crowded(_classifier(shared).names))
    return [
        Standing(name, pairs.evidence[name], rank[at], posts, figures)
        for at, (name, posts) in enumerate(zip(columns, shared.standing_posts, strict=True))
    ]


def _company(shared: Shared) -> list[Company]:
    """Give which candidates are whose, where the classifier asks for it."""
    return [] if shared.companions is None else [Company(SIMILARITY, shared.companions)]


def _seen(shared: Shared, part: int) -> Pairs:
    return seen(shared.pairs(part), _classifier(shared))


def _columns(pairs: Pairs) -> list[str]:
    return [name for name in pairs.evidence if name != CONFLICT]


def _classifier(shared: Shared) -> PairClassifier:
    classifier = shared.classifier
    if classifier is None:
        raise RuntimeError("hand-set rules decide: no classifier is asked")
    return classifier
