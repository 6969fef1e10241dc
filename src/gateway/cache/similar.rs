//! Answers to requests that mean nearly the same: exact search by cosine within a partition. Pure except for its lock,
//! which is held for one search.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::trace::kept::{Kept, Key};

/// Answers of one partition at most, the newest: a search looks at each.
const OF_ONE: usize = 256;
/// Answers of all partitions at most, the newest.
const OF_ALL: usize = 16_384;

/// Where the answers are that requests of the same meaning may get.
#[derive(Debug, Default)]
pub(super) struct Similar(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    /// The oldest first.
    partitions: HashMap<Key, VecDeque<Neighbour>>,
    /// Each answer's partition in the order of their coming, the oldest first; may name some that are gone.
    order: VecDeque<(Key, u64)>,
    /// Answers so far.
    count: u64,
}

#[derive(Debug)]
struct Neighbour {
    key: Key,
    number: u64,
    /// Weak: the cache's memory holds the answers, and decides when they go.
    kept: Weak<Kept>,
}

impl Similar {
    /// Adds an answer, if it has a meaning; another one for the same key stays until it is dropped.
    pub(super) fn insert(&self, key: Key, kept: &Arc<Kept>) {
        let Some(meaning) = &kept.meaning else { return };
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        index.count += 1;
        let number = index.count;
        let partition = index.partitions.entry(meaning.partition).or_default();
        partition.retain(|neighbour| neighbour.key != key && neighbour.kept.strong_count() > 0);
        partition.push_back(Neighbour { key, number, kept: Arc::downgrade(kept) });
        if partition.len() > OF_ONE {
            partition.pop_front();
        }
        index.order.push_back((meaning.partition, number));
        if index.order.len() > OF_ALL {
            index.drop_oldest();
        }
    }

    /// The key of the answer in `partition` whose request means what is nearest to `vector` (of length 1), if the cosine
    /// of the two is at least `threshold`. `fits`: whether an answer may be given at all.
    pub(super) fn nearest(
        &self,
        partition: &Key,
        vector: &[f32],
        threshold: f64,
        fits: impl Fn(&Kept) -> bool,
    ) -> Option<Key> {
        let index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let neighbours = index.partitions.get(partition)?.iter();
        let near = neighbours.filter_map(|neighbour| {
            let kept = neighbour.kept.upgrade().filter(|kept| fits(kept))?;
            Some((neighbour.key, cosine(&kept.meaning.as_ref()?.vector, vector)))
        });
        let nearest = near.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (f64::from(nearest.1) >= threshold).then_some(nearest.0)
    }
}

impl Index {
    fn drop_oldest(&mut self) {
        let Some((partition, number)) = self.order.pop_front() else { return };
        let Some(neighbours) = self.partitions.get_mut(&partition) else { return };
        neighbours.retain(|neighbour| neighbour.number != number);
        if neighbours.is_empty() {
            self.partitions.remove(&partition);
        }
    }
}

/// Of two vectors of length 1.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::kept::Meaning;

    fn kept(partition: u8, angle: f32) -> Arc<Kept> {
        Kept::sample(Some(Meaning { partition: [partition; 32], vector: direction(angle) }))
    }

    fn direction(angle: f32) -> Vec<f32> {
        vec![angle.cos(), angle.sin()]
    }

    fn found(similar: &Similar, partition: u8, angle: f32, threshold: f64) -> Option<Key> {
        similar.nearest(&[partition; 32], &direction(angle), threshold, |_| true)
    }

    #[test]
    fn the_nearest_is_found_from_the_threshold_on() {
        let similar = Similar::default();
        let held = [kept(0, 0.0), kept(0, 1.0)];
        held.iter().zip(1..).for_each(|(kept, key)| similar.insert([key; 32], kept));
        assert_eq!(found(&similar, 0, 0.4, 0.9), Some([1; 32]));
        assert_eq!(found(&similar, 0, 0.7, 0.9), Some([2; 32]));
        assert_eq!(found(&similar, 0, 2.0, 0.9), None);
    }

    #[test]
    fn what_the_memory_let_go_of_is_not_found() {
        let similar = Similar::default();
        let gone = kept(0, 0.0);
        similar.insert([1; 32], &gone);
        drop(gone);
        assert_eq!(found(&similar, 0, 0.0, 0.0), None);
    }

    #[test]
    fn the_newest_win_in_a_partition_and_in_all() {
        let similar = Similar::default();
        let mut held = vec![];
        for n in 0..=OF_ONE {
            held.push(kept(0, n as f32 / 1e3));
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            similar.insert(key, &held[n]);
        }
        assert_eq!(similar.0.lock().unwrap().partitions[&[0; 32]].len(), OF_ONE);
        assert_eq!(found(&similar, 0, 0.0, 0.0).map(|key| key[7]), Some(1), "the first is gone");
        for n in 0..OF_ALL {
            held.push(kept(1 + (n % 200) as u8, 0.0));
            similar.insert(std::array::from_fn(|i| n.to_be_bytes()[i % 8]), &held[held.len() - 1]);
        }
        let index = similar.0.lock().unwrap();
        assert_eq!(index.partitions.values().map(VecDeque::len).sum::<usize>(), OF_ALL);
        assert!(!index.partitions.contains_key(&[0; 32]), "an empty partition takes no room");
    }

    proptest! {
        #[test]
        fn no_answer_crosses_from_one_partition_to_another(
            entries in prop::collection::vec((0u8..4, 0f32..6.3), 1..40), asked in 0u8..4, angle in 0f32..6.3,
        ) {
            let similar = Similar::default();
            let held: Vec<_> = entries.iter().map(|(partition, angle)| kept(*partition, *angle)).collect();
            held.iter().zip(0u8..).for_each(|(kept, n)| similar.insert([n; 32], kept));
            let found = found(&similar, asked, angle, -1.0);
            prop_assert_eq!(found.is_some(), entries.iter().any(|(partition, _)| *partition == asked));
            prop_assert!(found.is_none_or(|key| entries[usize::from(key[0])].0 == asked));
        }
    }
}
