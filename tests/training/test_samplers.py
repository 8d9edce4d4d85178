from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import ConfigError, TrainingError
from kembar.training.samplers import GroupSampler
from properties import examples

torch.set_num_threads(1)
labelled = st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(lambda labels: len(set(labels)) > 1)
covers = st.sampled_from(["posts", "groups"])


@examples(120)
@given(labelled, st.integers(2, 6), st.integers(1, 5), st.integers(0, 9), covers)
def test_batches_are_distinct_groups_of_as_many_posts(labels, groups, per_group, seed, cover):
    y = np.array(labels)
    sampler = GroupSampler(y, groups, per_group, seed, cover=cover)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sampler.groups == min(groups, len(set(labels)))
    for batch in batches:
        assert all(type(row) is int for row in batch)
        assert sorted(Counter(y[batch].tolist()).values()) == [per_group] * sampler.groups
        blocks = y[batch].reshape(sampler.groups, per_group)
        assert (blocks == blocks[:, :1]).all()


@examples(120)
@given(labelled, st.integers(2, 6), st.integers(1, 5), st.integers(0, 9))
def test_every_epoch_covers_every_group_and_post(labels, groups, per_group, seed):
    y = np.array(labels)
    drawn = np.concatenate(list(GroupSampler(y, groups, per_group, seed)))
    assert set(drawn) == set(range(len(y)))
    once = np.concatenate(list(GroupSampler(y, groups, per_group, seed, cover="groups")))
    assert set(y[once]) == set(labels)


@examples(60)
@given(labelled, st.integers(2, 4), st.integers(1, 6), st.integers(0, 9), covers)
def test_posts_of_a_short_group_repeat_equally_often(labels, groups, per_group, seed, cover):
    y = np.array(labels)
    sampler = GroupSampler(y, groups, per_group, seed, cover=cover)
    for batch in sampler:
        for block in np.reshape(batch, (sampler.groups, per_group)):
            size = (y == y[block[0]]).sum()
            counts = Counter(block.tolist())
            if size <= per_group:
                assert len(counts) == size
                assert max(counts.values()) - min(counts.values()) <= 1


@examples(60)
@given(labelled, st.integers(2, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_processes_share_the_batches(labels, groups, per_group, world, epoch):
    y = np.array(labels)

    def batches(**where):
        sampler = GroupSampler(y, groups, per_group, 3, **where)
        sampler.set_epoch(epoch)
        return list(sampler), len(sampler)

    whole, n = batches()
    parts = [batches(process=(rank, world)) for rank in range(world)]
    assert {len(part) for part, _ in parts} == {length for _, length in parts} == {-(-n // world)}
    together = [batch for step in zip(*(part for part, _ in parts), strict=True) for batch in step]
    assert together[:n] == whole
    assert all(batch in whole for batch in together)


def test_epochs_differ_and_come_again():
    y = np.repeat(np.arange(30), 3)
    sampler = GroupSampler(y, 5, 2, 0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(GroupSampler(y, 5, 2, 1)) != first


def test_no_more_batches_than_needed():
    y = np.repeat(np.arange(20), 4)
    assert len(GroupSampler(y, 5, 2)) == 8  # 20 groups of two portions, five in a batch
    assert len(GroupSampler(y, 5, 2, cover="groups")) == 4
    drawn = Counter(np.concatenate(list(GroupSampler(y, 5, 2))).tolist())
    assert set(drawn.values()) == {1}


def test_a_large_group_comes_as_often_as_it_is_large():
    y = np.array([0] * 40 + [1] * 2 + [2] * 2 + [3] * 2)
    batches = [set(y[batch].tolist()) for batch in GroupSampler(y, 2, 4)]
    assert sum(0 in batch for batch in batches) == 10


def test_it_feeds_a_data_loader():
    y = np.repeat(np.arange(6), 3)
    data = torch.utils.data.TensorDataset(torch.arange(18))
    loader = torch.utils.data.DataLoader(data, batch_sampler=GroupSampler(y, 3, 2))
    assert len(loader) == 4
    assert all(rows.shape == (6,) for (rows,) in loader)


def test_what_is_refused():
    y = np.array([1, 1, 2, 2])
    with pytest.raises(TrainingError, match="3 posts of one group"):
        GroupSampler(np.ones(3, dtype=np.int64), 2, 2)
    with pytest.raises(TrainingError, match="no posts"):
        GroupSampler(np.empty(0, dtype=np.int64), 2, 2)
    for wrong in ({"groups": 1}, {"per_group": 0}, {"process": (2, 2)}, {"cover": "all"}):
        with pytest.raises(ConfigError, match="at least 2 x 1"):
            GroupSampler(y, **{"groups": 2, "per_group": 2, **wrong})


def test_too_few_groups_for_a_batch_is_said(caplog):
    sampler = GroupSampler(np.array([1, 1, 2, 2]), 8, 2)
    assert sampler.groups == 2
    assert "2 groups in all" in caplog.text
