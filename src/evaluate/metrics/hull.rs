//! The non-decreasing convex hull of points, and RouterBench's AIQ, the area under it.

use crate::evaluate::table::Point;

/// Corners by rising cost; quality rises, and ever less for the same money. Between two corners lie the mixtures of
/// both: each request tosses a coin.
#[derive(Debug, Clone, PartialEq)]
pub struct Hull(Vec<Point>);

impl Hull {
    /// The hull of points.
    pub fn new(points: impl IntoIterator<Item = Point>) -> Self {
        let mut points: Vec<Point> = points.into_iter().collect();
        points.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
        let mut corners: Vec<Point> = Vec::new();
        for point in points {
            if corners.last().is_some_and(|last| point.quality <= last.quality) {
                continue;
            }
            while let [.., before, last] = corners[..]
                && slope(last, point) >= slope(before, last)
            {
                corners.pop();
            }
            corners.push(point);
        }
        Self(corners)
    }

    /// By rising cost.
    pub fn corners(&self) -> &[Point] {
        &self.0
    }

    /// The best quality for at most this cost; the first corner's, if all cost more.
    pub fn quality_at(&self, cost: f64) -> f64 {
        let above = self.0.partition_point(|corner| corner.cost <= cost);
        match (self.0.get(above.wrapping_sub(1)), self.0.get(above)) {
            (Some(low), Some(high)) => low.quality + (cost - low.cost) * slope(*low, *high),
            (Some(only), None) | (None, Some(only)) => only.quality,
            (None, None) => f64::NAN,
        }
    }

    /// The least cost of at least this quality; `None` if there is none.
    pub fn cost_at(&self, quality: f64) -> Option<f64> {
        let above = self.0.partition_point(|corner| corner.quality < quality);
        let high = self.0.get(above)?;
        let low = above.checked_sub(1).map_or(high, |below| &self.0[below]);
        Some(if low == high { high.cost } else { low.cost + (quality - low.quality) / slope(*low, *high) })
    }
}

/// Quality for a USD more. Of equal costs: infinite.
fn slope(a: Point, b: Point) -> f64 {
    (b.quality - a.quality) / (b.cost - a.cost)
}

/// Average improvement in quality: 1/(c₂ − c₁) · ∫ R̃(c) dc from c₁ to c₂, where R̃ is the non-decreasing convex hull of
/// the router's points, drawn on level beyond its last one (Hu et al., *RouterBench*, arXiv 2403.12031, §3.2).
///
/// `range`: c₁ < c₂ in USD, the same for all routers that are compared.
pub fn aiq(hull: &Hull, range: (f64, f64)) -> f64 {
    let (low, high) = range;
    let inner = hull.corners().iter().map(|corner| corner.cost).filter(|&cost| cost > low && cost < high);
    let costs: Vec<f64> = std::iter::once(low).chain(inner).chain([high]).collect();
    let strip = |pair: &[f64]| (pair[1] - pair[0]) * (hull.quality_at(pair[0]) + hull.quality_at(pair[1])) / 2.0;
    costs.windows(2).map(strip).sum::<f64>() / (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hull(points: &[(f64, f64)]) -> Hull {
        Hull::new(points.iter().map(|&(cost, quality)| Point { quality, cost }))
    }

    #[test]
    fn the_hull_drops_what_a_mixture_beats_and_what_costs_more_for_less() {
        let hull = hull(&[(4.0, 0.8), (1.0, 0.4), (2.0, 0.5), (3.0, 0.8), (3.5, 0.1), (1.0, 0.3), (5.0, 0.9)]);
        let corners: Vec<(f64, f64)> = hull.corners().iter().map(|corner| (corner.cost, corner.quality)).collect();
        assert_eq!(corners, [(1.0, 0.4), (3.0, 0.8), (5.0, 0.9)]);
    }

    #[test]
    fn mixtures_lie_between_the_corners() {
        let hull = hull(&[(1.0, 0.4), (3.0, 0.8)]);
        assert!((hull.quality_at(2.0) - 0.6).abs() < 1e-12);
        assert_eq!((hull.quality_at(0.5), hull.quality_at(9.0)), (0.4, 0.8));
        assert!(hull.cost_at(0.7).is_some_and(|cost| (cost - 2.5).abs() < 1e-12));
        assert_eq!((hull.cost_at(0.1), hull.cost_at(0.8), hull.cost_at(0.81)), (Some(1.0), Some(3.0), None));
    }

    #[test]
    fn aiq_is_the_mean_height_of_the_hull() {
        // From 1 to 3 the mean is 0.6, from 3 to 5 it is level at 0.8.
        assert!((aiq(&hull(&[(1.0, 0.4), (3.0, 0.8)]), (1.0, 5.0)) - 0.7).abs() < 1e-12);
        // Cut off at 2: the mean of 0.4 and 0.6.
        assert!((aiq(&hull(&[(1.0, 0.4), (3.0, 0.8)]), (1.0, 2.0)) - 0.5).abs() < 1e-12);
        assert!((aiq(&hull(&[(1.0, 0.4)]), (1.0, 5.0)) - 0.4).abs() < 1e-12);
    }
}
