//! Which prompts are left out together.

use std::collections::{BTreeMap, HashSet};

use crate::difficulty::train::{Dataset, Prompt};

/// What a fold is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Near-duplicate prompts.
    Group,
    /// Whole tasks (subjects): the prompts left out are of kinds that training did not see. A workload of one task
    /// only is never left out; it only helps to train.
    Task,
}

/// Every prompt's fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    pub count: usize,
    /// 0 to count − 1, one per prompt; `None` for what is never left out.
    pub of: Vec<Option<usize>>,
}

impl Folds {
    /// `count` folds of all workloads' prompts, the same every time.
    pub fn new(data: &Dataset, count: usize, unit: Unit) -> Self {
        let by_group = |prompt: &Prompt| Some((prompt.group % count as u64) as usize);
        let of = match unit {
            Unit::Group => data.prompts.iter().map(by_group).collect(),
            Unit::Task => {
                let tasks: Vec<_> = (0..data.workloads.len()).map(|workload| by_task(data, workload, count)).collect();
                let fold = |prompt: &Prompt| tasks[prompt.workload].get(prompt.task.as_str()).copied();
                data.prompts.iter().map(fold).collect()
            }
        };
        Self { count, of }
    }

    /// What may be learned from when `fold` is left out: the other folds, without near-duplicates of what is left out.
    pub fn seen(&self, data: &Dataset, fold: usize) -> Vec<bool> {
        let in_fold = data.prompts.iter().zip(&self.of).filter(|(_, of)| **of == Some(fold));
        let left_out: HashSet<u64> = in_fold.map(|(prompt, _)| prompt.group).collect();
        data.prompts.iter().map(|prompt| !left_out.contains(&prompt.group)).collect()
    }
}

/// A fold for each task of a workload, largest first into the fold that holds least; empty if there is one task only.
fn by_task(data: &Dataset, workload: usize, count: usize) -> BTreeMap<&str, usize> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    data.prompts
        .iter()
        .filter(|prompt| prompt.workload == workload)
        .for_each(|prompt| *sizes.entry(&prompt.task).or_default() += 1);
    if sizes.len() < 2 {
        return BTreeMap::new();
    }
    let mut tasks: Vec<(&str, usize)> = sizes.into_iter().collect();
    tasks.sort_by_key(|&(name, size)| (std::cmp::Reverse(size), name));
    let mut filled = vec![0; count];
    let mut folds = BTreeMap::new();
    for (task, size) in tasks {
        let fold = (0..count).min_by_key(|&fold| filled[fold]).unwrap_or_default();
        filled[fold] += size;
        folds.insert(task, fold);
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Features;

    fn data(prompts: &[(usize, &str, u64)]) -> Dataset {
        let prompt = |&(workload, task, group): &(usize, &str, u64)| Prompt {
            id: String::new(),
            task: task.into(),
            workload,
            at_ms: None,
            group,
            features: Features { values: vec![], input_tokens: 1 },
            outcomes: vec![],
        };
        let workloads = vec!["several".into(), "one".into()];
        Dataset { workloads, arms: vec![], prompts: prompts.iter().map(prompt).collect() }
    }

    #[test]
    fn near_duplicates_are_left_out_together() {
        let data = data(&[(0, "a", 7), (0, "b", 12), (1, "c", 7), (1, "c", 3)]);
        let folds = Folds::new(&data, 5, Unit::Group);
        assert_eq!(folds.of, [2, 2, 2, 3].map(Some));
        assert_eq!(folds.seen(&data, 2), [false, false, false, true]);
    }

    #[test]
    fn whole_tasks_are_left_out_largest_first_and_a_workload_of_one_task_never() {
        let mut prompts = vec![(0, "middle", 1); 3];
        prompts.extend(vec![(0, "large", 2); 4]);
        prompts.extend(vec![(0, "small", 3); 2]);
        prompts.extend([(1, "only", 4), (1, "only", 5)]);
        let folds = Folds::new(&data(&prompts), 2, Unit::Task);
        assert_eq!(folds.of[..9], [1, 1, 1, 0, 0, 0, 0, 1, 1].map(Some));
        assert_eq!(folds.of[9..], [None, None]);
    }

    #[test]
    fn near_duplicates_of_what_is_left_out_are_not_learned_from() {
        let data = data(&[(0, "a", 1), (0, "a", 1), (0, "b", 1), (0, "b", 8)]);
        let folds = Folds::new(&data, 2, Unit::Task);
        assert_eq!(folds.of, [0, 0, 1, 1].map(Some));
        assert_eq!(folds.seen(&data, 0), [false, false, false, true]);
    }
}
