import inspect
import re

import pytest

import kembar
from kembar.errors import KembarError

_NAMES = """
    Fitting Resources match Catalog CatalogError Columns Config ConfigError Drawing Embeddings EncoderError
    EvidenceError Explanation Features FolderError ForkedError PairClassifier Groups InputError
    KembarError FittedClassifier Matcher
    Matches MissingExtraError Neighbors Pairs PhotoError Quantities Result Tfidf Tuned average_link blend
    dense_neighbors fuse hash_neighbors hash_photos fit_classifier learn_from_answers neighborhood normalize open_photo
    perceptual_hash regroup extend link
    PairScore query_expansion score sparse_neighbors synthesize TrainingError tune write_shop
    Local OnRay Running match_in_parts
    Live StoreError TakenError UnknownError
"""
PUBLIC = _NAMES.split()


def public_members() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name in PUBLIC:
        thing = getattr(kembar, name)
        found.append((name, thing))
        if inspect.isclass(thing) and thing.__module__.startswith("kembar"):
            members = vars(thing).items()
            plain = [(key, m) for key, m in members if not key.startswith("_") and not key.startswith("model_")]
            found += [(f"{name}.{key}", m) for key, m in plain if callable(m) or isinstance(m, property | classmethod)]
    return found


def test_the_public_names_are_pinned() -> None:
    assert sorted(kembar.__all__) == sorted(PUBLIC)
    assert dir(kembar) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there_under_its_own_name(name: str) -> None:
    thing = getattr(kembar, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("kembar.")
    assert getattr(__import__(thing.__module__, fromlist=[name]), name) is thing


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="No kembar attribute matcher_of"):
        kembar.matcher_of  # noqa: B018


@pytest.mark.parametrize(("name", "thing"), public_members())
def test_everything_public_says_what_it_does(name: str, thing: object) -> None:
    text = inspect.getdoc(getattr(thing, "__func__", thing))
    assert text, f"{name} has no docstring"
    first = text.split("\n\n")[0]
    assert re.search(r"[.:]$", first.strip()), f"{name}: the first sentence does not end"
    if inspect.isfunction(thing) and "." not in name:
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^\s+{parameter}: ", text, re.M), f"{name} does not explain {parameter}"
        if inspect.signature(thing).return_annotation is not None:
            assert "Returns:" in text, name


def test_errors_are_one_family() -> None:
    errors = [getattr(kembar, name) for name in PUBLIC if name.endswith("Error")]
    assert all(issubclass(error, KembarError) for error in errors)
    given = [error for error in errors if issubclass(error, kembar.InputError)]
    assert all(issubclass(error, ValueError) for error in given)
    for error in given:
        raised = error("a thing", "another", "Change it.")
        assert str(raised) == "a thing; expected another. Change it."
        assert (raised.given, raised.expected, raised.fix) == ("a thing", "another", "Change it.")
    missing = kembar.MissingExtraError("torch", "train")
    assert isinstance(missing, ImportError)
    assert "pip install 'kembar[train]'" in str(missing)
