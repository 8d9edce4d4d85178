import random
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from kembar.synthesis import synthesize
from kembar.synthesis.drawing import Job, Look, _draw_original, _palette, draw_photo, save_photos
from kembar.synthesis.edits import _EDITS, edit_photo, write_text
from kembar.synthesis.silhouettes import SILHOUETTES
from kembar.synthesis.vocabulary import FAMILIES
from properties import examples

LOOK = Look("bottle", "Sakura", "Glow Max", "Lemon", "250ml", (239, 216, 74), 11, 12)
SHAPES = {"rect": (4, 5), "oval": (4,), "panel": (4,), "ring": (5,)}


def pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo, dtype=np.int16)


def test_every_family_can_be_drawn() -> None:
    assert {shape for family in FAMILIES for shape in family.silhouettes} == set(SILHOUETTES)


@pytest.mark.parametrize("silhouette", sorted(SILHOUETTES))
def test_a_silhouette_is_well_formed_and_shows(silhouette: str) -> None:
    lighting, parts = SILHOUETTES[silhouette]
    assert lighting in {"round", "flat", "cloth", "gloss"}
    for shape, role, numbers in parts:
        assert role in _palette(LOOK) or (shape == "panel" and role == "none")
        if shape in SHAPES:
            assert len(numbers) in SHAPES[shape]
        else:
            assert shape in {"poly", "line"}
            assert len(numbers) % 2 == (shape == "line")
        assert all(-100 <= number <= 100 for number in numbers)
    photo = draw_photo(replace(LOOK, silhouette=silhouette), 0, 0, 48)
    assert (photo.mode, photo.size) == ("RGB", (48, 48))
    assert pixels(photo).std() > 5


@examples(25)
@given(
    silhouette=st.sampled_from(sorted(SILHOUETTES)),
    scene=st.integers(0, 2**62),
    seed=st.integers(0, 2**62),
    view=st.integers(0, 2),
    edit=st.integers(0, 2**62),
    size=st.integers(16, 80),
    brand=st.sampled_from(["", "Lu", "Kartikabintangmart"]),
)
def test_any_photo_has_its_size_and_repeats(
    silhouette: str, scene: int, seed: int, view: int, edit: int, size: int, brand: str
) -> None:
    look = Look(silhouette, brand, "", "Hitam", "5kg", (40, 40, 44), scene, seed)
    photo = draw_photo(look, view, edit, size)
    assert (photo.mode, photo.size) == ("RGB", (size, size))
    _draw_original.cache_clear()
    assert photo.tobytes() == draw_photo(look, view, edit, size).tobytes()


def test_a_photo_is_the_callers_to_change() -> None:
    photo = draw_photo(LOOK, 0, 0, 32)
    before = photo.tobytes()
    photo.paste((0, 0, 0), (0, 0, 32, 32))
    assert draw_photo(LOOK, 0, 0, 32).tobytes() == before
    draw_photo(LOOK, 0, 99, 32)
    assert draw_photo(LOOK, 0, 0, 32).tobytes() == before


def test_views_edits_and_products_differ() -> None:
    photos = [
        draw_photo(look, view, edit, 64).tobytes()
        for look in (LOOK, replace(LOOK, seed=13), replace(LOOK, colour=(200, 40, 50)), replace(LOOK, quantity="1L"))
        for view in (0, 1)
        for edit in (0, 5, 6)
    ]
    assert len(set(photos)) == len(photos)


def test_siblings_look_more_alike_than_others() -> None:
    rng = random.Random(0)
    siblings, others = [], []
    for _ in range(30):
        look = replace(LOOK, scene=rng.getrandbits(60), seed=rng.getrandbits(60))
        photo, sibling, other = (
            pixels(draw_photo(other, 0, 0, 64))
            for other in (
                look,
                replace(look, seed=rng.getrandbits(60), quantity="100ml"),
                replace(look, seed=rng.getrandbits(60), scene=rng.getrandbits(60), brand="Nuvo"),
            )
        )
        siblings.append(np.abs(photo - sibling).mean())
        others.append(np.abs(photo - other).mean())
    assert np.mean(siblings) < 0.6 * np.mean(others)


@pytest.mark.parametrize("change", [change for _, change in _EDITS], ids=lambda change: change.__name__)
def test_each_edit_changes_the_photo_and_keeps_its_size(change) -> None:  # type: ignore[no-untyped-def]
    original = draw_photo(LOOK, 0, 0, 96)
    for seed in range(5):
        edited = change(original.copy(), random.Random(seed))
        assert (edited.mode, edited.size) == ("RGB", (96, 96))
        assert edited.tobytes() != original.tobytes()


def test_an_edited_photo_is_never_the_original() -> None:
    original = draw_photo(LOOK, 0, 0, 64)
    for seed in range(60):
        assert edit_photo(original.copy(), random.Random(seed)).tobytes() != original.tobytes()


def test_text_is_written_inside_its_box() -> None:
    for text in ("Sakura", "250ml", "Kartikabintangmart"):
        sheet = Image.new("L", (200, 60), 0)
        write_text(ImageDraw.Draw(sheet), (100, 30), text, (120, 24), 255)  # type: ignore[arg-type]
        left, top, right, bottom = sheet.getbbox() or (0, 0, 200, 60)
        assert left >= 30
        assert right <= 170
        assert top >= 10
        assert bottom <= 50
    sheet = Image.new("L", (200, 60), 0)
    write_text(ImageDraw.Draw(sheet), (100, 30), "far too small to see", (20, 24), 255)  # type: ignore[arg-type]
    assert sheet.getbbox() is None


def test_same_hash_inside_and_between_groups_as_on_the_real_posts() -> None:
    shop = synthesize(300, seed=21)
    looks = shop.looks(np.arange(shop.products.height))
    posts = sorted(range(300), key=lambda post: shop.product[post])
    hashes = {}
    for post in posts:
        photo = draw_photo(looks[shop.product[post]], int(shop.view[post]), int(shop.edit[post]), 128)
        hashes[post] = str(imagehash.phash(photo))
    inside = [
        hashes[left] == hashes[right]
        for i, left in enumerate(posts)
        for right in posts[i + 1 :]
        if shop.product[left] == shop.product[right]
    ]
    between = [
        (left, right)
        for i, left in enumerate(posts)
        for right in posts[i + 1 :]
        if shop.product[left] != shop.product[right] and hashes[left] == hashes[right]
    ]
    assert 0.05 < np.mean(inside) < 0.35
    assert len(between) <= 2


def test_an_unknown_silhouette_is_refused() -> None:
    with pytest.raises(KeyError, match="teapot"):
        draw_photo(replace(LOOK, silhouette="teapot"))


def test_a_job_saves_what_draw_photo_draws(tmp_path: Path) -> None:
    other = replace(LOOK, silhouette="case", seed=4)
    job = Job((LOOK, other), (1, 0, 1), (0, 1, 0), (0, 7, 0), (92, 60, 92), ("a.jpg", "b.jpg", "c.jpg"), tmp_path, 64)
    assert save_photos(job) == 3
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "c.jpg").read_bytes()
    with Image.open(tmp_path / "b.jpg") as saved:
        assert saved.format == "JPEG"
        assert np.abs(pixels(saved) - pixels(draw_photo(LOOK, 1, 7, 64))).mean() < 12
