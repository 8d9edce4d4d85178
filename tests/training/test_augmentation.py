import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kembar.errors import ConfigError
from kembar.training import augmentation
from kembar.training.augmentation import augment, cutmix, random_crop, recolour
from properties import examples

KINDS = ("none", "flip", "light", "seller")


def picture(seed: int, width: int = 90, height: int = 120) -> Image.Image:
    """A smooth photo-like picture: coarse random colours, scaled up."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@examples(60)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from((16, 33, 64, 224)),
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    others=st.integers(0, 2),
)
def test_a_view_is_a_square_and_depends_on_nothing_but_the_arguments(
    kind: augmentation.Kind, seed: int, size: int, width: int, height: int, others: int
) -> None:
    photo, beside = picture(1, width, height), [picture(i + 2) for i in range(others)]
    before = photo.tobytes()
    view = augment(photo, rng(seed), kind, size=size, others=beside)
    assert view.shape == (size, size, 3)
    assert view.dtype == np.uint8
    assert photo.tobytes() == before, "the photo is not changed"
    np.testing.assert_array_equal(view, augment(photo, rng(seed), kind, size=size, others=beside))


def test_none_is_the_whole_photo_and_flip_its_mirror_half_the_time() -> None:
    photo = picture(0)
    whole = augment(photo, rng(), "none", size=48)
    np.testing.assert_array_equal(whole, augment(photo, rng(9), "none", size=48))
    flips = [augment(photo, rng(seed), "flip", size=48) for seed in range(200)]
    mirrored = [np.array_equal(view, whole[:, ::-1]) for view in flips]
    assert all(np.array_equal(view, whole) or flipped for view, flipped in zip(flips, mirrored, strict=True))
    assert 70 <= sum(mirrored) <= 130


@pytest.mark.parametrize("edit", [edit for _, edit in augmentation._EDITS], ids=lambda edit: edit.__name__)
def test_each_edit_changes_a_copy_and_keeps_the_size(edit: augmentation.Edit) -> None:
    photo = picture(3, 96, 96)
    before = photo.tobytes()
    changed = [edit(photo, rng(seed)) for seed in range(12)]
    assert photo.tobytes() == before
    assert all(view.size == photo.size and view.mode == "RGB" for view in changed)
    assert sum(view.tobytes() != before for view in changed) >= 11
    assert len({view.tobytes() for view in changed}) > (1 if edit is not augmentation._mirrored else 0)


def test_every_edit_of_sellers_happens_and_views_stay_like_their_photo() -> None:
    """Coarse pictures that differ everywhere: a view is nearer to its own photo than to another, far more often than
    chance, and rarely equal to it.
    """
    photos = [picture(seed, 64, 64) for seed in range(10)]
    coarse = [np.asarray(photo.resize((8, 8)), dtype=float).ravel() for photo in photos]
    coarse += [
        np.asarray(photo.resize((8, 8)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), dtype=float).ravel()
        for photo in photos
    ]
    table = np.stack(coarse)
    table -= table.mean(axis=1, keepdims=True)
    source, right, same, views = rng(5), 0, 0, 300
    for turn in range(views):
        view = augment(photos[turn % 10], source, size=64)
        same += np.array_equal(view, np.asarray(photos[turn % 10]))
        small = np.asarray(Image.fromarray(view).resize((8, 8)), dtype=float).ravel()
        small -= small.mean()
        likeness = table @ small / np.linalg.norm(table, axis=1)
        right += int(likeness.argmax()) % 10 == turn % 10
    assert same <= 0.05 * views
    assert right >= 0.5 * views, "chance is a tenth"


def test_collages_leave_the_photo_at_least_half_and_take_the_rest_from_others() -> None:
    red, blue = Image.new("RGB", (60, 60), (250, 0, 0)), Image.new("RGB", (30, 80), (0, 0, 250))
    for seed in range(30):
        sheet = np.asarray(augmentation._collage(red, rng(seed), [blue]))
        share = (sheet == (250, 0, 0)).all(axis=2).mean()
        assert 0.49 <= share <= 0.76
        assert (sheet == (0, 0, 250)).all(axis=2).mean() == pytest.approx(1 - share)
        assert (np.asarray(augmentation._collage(red, rng(seed), [])) == (250, 0, 0)).all()


def test_crops_keep_the_area_and_the_shape_asked_for() -> None:
    """On a picture whose colours are its coordinates, the corners of a crop tell what was cut out."""
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    plane = np.stack([*np.meshgrid(ramp, ramp), np.zeros((256, 256), np.uint8)], axis=2)
    for seed in range(100):
        crop = np.asarray(random_crop(Image.fromarray(plane), rng(seed), 64, least=0.3)).astype(float)
        wide, tall = crop[..., 0].max() - crop[..., 0].min(), crop[..., 1].max() - crop[..., 1].min()
        assert 0.2 <= wide * tall / 255**2 <= 1.0  # a long crop is cut at the photo's edge; the ends are blended
        assert 0.6 <= wide / tall <= 1.6


def test_recolouring_moves_colours_not_shapes() -> None:
    photo = picture(4, 64, 64)
    grey = np.asarray(photo.convert("L"), dtype=float)
    for seed in range(40):
        changed = np.asarray(recolour(photo, rng(seed)).convert("L"), dtype=float)
        assert np.corrcoef(grey.ravel(), changed.ravel())[0, 1] > 0.8


@examples(50)
@given(count=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), most=st.floats(0, 1))
def test_cutmix_takes_one_rectangle_from_the_partner(count: int, seed: int, most: float) -> None:
    photos = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 12, 12, 3))
    mixed, partner, kept = cutmix(photos, rng(seed), most=most)
    assert sorted(partner) == list(range(count))
    assert count == 1 or (partner != np.arange(count)).all()
    for row in range(count):
        own = (mixed[row, ..., 0] == row) if count > 1 else np.ones((12, 12), dtype=bool)
        assert ((mixed[row, ..., 0] == row) | (mixed[row, ..., 0] == partner[row])).all()
        assert count == 1 or own.mean() == pytest.approx(kept)
    assert kept >= 1 - (np.sqrt(most) + 1 / 12) ** 2
    assert (photos[:, 0, 0, 0] == np.arange(count)).all()


def test_bad_options_are_named() -> None:
    with pytest.raises(ConfigError, match="seler"):
        augment(picture(0), rng(), "seler")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cutmix"):
        cutmix(np.zeros((2, 4, 4, 3), np.uint8), rng(), most=1.5)
