"""The stages from compared pairs to probabilities: ranks among the candidates of both ends, then the classifier."""

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
from kembar.evidence.identifier_view import EQUAL
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scorers import CONFLICT
from kembar.evidence.view_kinds import HASH
from kembar.matcher import identified


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


def weighed(shared: Shared, _task: Task) -> list[dict[str, Floats]]:
    """Weigh what the classifier has not learned from, by all pairs: for each part, the columns of its pairs."""
    classifier, spare = shared.classifier, shared.spare
    parts = [shared.pairs(part) for part in range(len(shared.parts))]
    wanted = [name for name in parts[0].evidence if _needed(name, spare)]
    evidence = {name: np.concatenate([part.evidence[name] for part in parts]) for name in wanted}
    left, right = (np.concatenate([getattr(part, end) for part in parts]) for end in ("left", "right"))
    pairs = Pairs(left, right, evidence)
    if classifier is not None:
        made = [shared.work.read("judgements", part) for part in range(len(parts))]
        verdict = tuple(np.concatenate([each[key] for each in made]) for key in ("probability", "conflict"))
        weights = spare_weights(pairs, verdict[0], classifier, spare)
        pairs = concluded(pairs, (verdict[0], verdict[1]), weights, classifier)
    pairs = identified(pairs, shared.comparison.quantities, shared.kept, classifier)
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    split = {name: np.split(column, cuts) for name, column in pairs.evidence.items()}
    return [{name: column[part] for name, column in split.items()} for part in range(len(parts))]


def final_pairs(shared: Shared, part: int) -> Pairs:
    """Give the pairs of a part with all evidence and their final similarity."""
    pairs, classifier = shared.pairs(part), shared.classifier
    if weighs_all(shared):
        return pairs.with_evidence(**shared.work.read("weighed")[part])
    if classifier is None:
        return pairs
    made = shared.work.read("judgements", part)
    return concluded(pairs, (made["probability"], made["conflict"]), {}, classifier)


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


def _needed(name: str, spare: dict[str, str]) -> bool:
    return name in spare or name in (SIMILARITY, CONFLICT, HASH.name) or name.startswith(EQUAL)
