//! RouterBench's nearest-neighbour router (arXiv 2403.12031): a model is expected to do as it did on similar prompts.

use super::Lesson;
use crate::evaluate::frontier::Forecast;
use crate::features::SIGNAL_WIDTH;

/// Neighbours that are asked; fewer where the lesson is shorter.
const NEIGHBOURS: usize = 100;

/// Mean quality and cost over the prompts of the lesson whose mean embedding has the largest cosine.
pub fn knn(lesson: &Lesson, prompts: &[&[f32]]) -> Forecast {
    nearest_mean(lesson, prompts, NEIGHBOURS)
}

/// The same for the lesson's own prompts, each by those of another group (one per prompt) than its own: near-duplicates
/// would tell it its answers. `None` where all are of one group.
pub fn knn_of_others(lesson: &Lesson, groups: &[u64]) -> Option<Forecast> {
    let first = groups.first()?;
    groups.iter().any(|group| group != first).then(|| others_mean(lesson, groups, NEIGHBOURS))
}

fn nearest_mean(lesson: &Lesson, prompts: &[&[f32]], k: usize) -> Forecast {
    let seen = directions(lesson);
    let mut forecast = Forecast::default();
    for prompt in prompts {
        forecast.push(lesson, &nearest(&seen, &direction(prompt), k, |_| true));
    }
    forecast
}

fn others_mean(lesson: &Lesson, groups: &[u64], k: usize) -> Forecast {
    let seen = directions(lesson);
    let mut forecast = Forecast::default();
    for (prompt, group) in seen.iter().zip(groups) {
        forecast.push(lesson, &nearest(&seen, prompt, k, |other| groups[other] != *group));
    }
    forecast
}

impl Forecast {
    /// Adds a prompt that is expected to go as these of the lesson did.
    fn push(&mut self, lesson: &Lesson, near: &[usize]) {
        self.quality.push(mean(&lesson.quality, near));
        self.cost.push(mean(&lesson.cost, near));
    }
}

fn directions(lesson: &Lesson) -> Vec<Vec<f32>> {
    lesson.features.iter().map(|features| direction(features)).collect()
}

/// The embedding at length 1; zero, where there is none.
fn direction(features: &[f32]) -> Vec<f32> {
    let embedding = &features[SIGNAL_WIDTH..];
    let length = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
    embedding.iter().map(|x| if length > 0.0 { x / length } else { 0.0 }).collect()
}

/// Indices of the k of largest cosine among those that may be asked; of equal ones the first.
fn nearest(seen: &[Vec<f32>], prompt: &[f32], k: usize, may: impl Fn(usize) -> bool) -> Vec<usize> {
    let cosines: Vec<f32> = seen.iter().map(|other| cosine(other, prompt)).collect();
    let mut order: Vec<usize> = (0..seen.len()).filter(|&other| may(other)).collect();
    let closer = |&a: &usize, &b: &usize| cosines[b].total_cmp(&cosines[a]).then(a.cmp(&b));
    if k < order.len() {
        order.select_nth_unstable_by(k, closer);
        order.truncate(k);
    }
    order.sort_unstable();
    order
}

/// Eight sums side by side, which the compiler keeps in one register.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn mean(rows: &[&[f64]], of: &[usize]) -> Vec<f64> {
    let models = rows.first().map_or(0, |row| row.len());
    (0..models).map(|model| of.iter().map(|&row| rows[row][model]).sum::<f64>() / of.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features with a mean embedding in this direction of a plane.
    fn at(x: f32, y: f32) -> Vec<f32> {
        let mut features = vec![7.0; SIGNAL_WIDTH + 13];
        features[SIGNAL_WIDTH..].fill(0.0);
        (features[SIGNAL_WIDTH], features[SIGNAL_WIDTH + 1]) = (x, y);
        features
    }

    #[test]
    fn the_nearest_by_angle_are_averaged_whatever_their_length() {
        let seen = [at(1.0, 0.1), at(50.0, 0.0), at(0.0, 1.0), at(-1.0, 0.0)];
        let lesson = Lesson {
            features: seen.iter().map(Vec::as_slice).collect(),
            quality: vec![&[1.0, 0.0], &[0.5, 1.0], &[0.0, 0.0], &[0.0, 0.0]],
            cost: vec![&[1.0, 2.0], &[3.0, 4.0], &[9.0, 9.0], &[9.0, 9.0]],
        };
        let prompt = at(3.0, 0.0);
        let forecast = nearest_mean(&lesson, &[&prompt], 2);
        assert_eq!(forecast.quality, [vec![0.75, 0.5]]);
        assert_eq!(forecast.cost, [vec![2.0, 3.0]]);
        let all = nearest_mean(&lesson, &[&prompt], 100);
        assert_eq!(all.quality, [vec![0.375, 0.25]]);
    }

    #[test]
    fn a_prompt_is_not_told_by_its_near_duplicates() {
        let seen = [at(1.0, 0.0), at(1.0, 0.0), at(0.9, 0.1), at(0.0, 1.0)];
        let lesson = Lesson {
            features: seen.iter().map(Vec::as_slice).collect(),
            quality: vec![&[0.0], &[0.0], &[1.0], &[0.5]],
            cost: vec![&[1.0], &[1.0], &[2.0], &[3.0]],
        };
        let forecast = others_mean(&lesson, &[7, 7, 8, 9], 1);
        assert_eq!(forecast.quality, [vec![1.0], vec![1.0], vec![0.0], vec![1.0]]);
        assert_eq!(knn_of_others(&lesson, &[7; 4]), None);
    }
}
