use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::policy::{Audited, Candidate, Kind, Knob};

/// One kind of request: how good the cheap and the dear model are at it, and how often the dear one is drawn.
#[derive(Clone, Copy)]
struct Sort {
    quality: [f64; 2],
    dear: f64,
}

/// Both models are predicted at .7 for both sorts. On hard requests the dear one is hardly ever drawn: weights are cut.
const SORTS: [Sort; 2] = [Sort { quality: [0.85, 0.9], dear: 0.25 }, Sort { quality: [0.35, 0.95], dear: 0.005 }];

/// Means over both sorts, which are as frequent as each other.
fn truth() -> (f64, f64) {
    let own = |sort: &Sort| sort.quality[0] + sort.dear * (sort.quality[1] - sort.quality[0]);
    let best = |sort: &Sort| sort.quality[1];
    (SORTS.iter().map(own).sum::<f64>() / 2.0, SORTS.iter().map(best).sum::<f64>() / 2.0)
}

fn decision(sort: Sort, chosen: usize, audit: Option<Audited>) -> Decision {
    let candidate = |arm: &str, propensity| Candidate { arm: arm.into(), quality: 0.7, cost_usd: 1.0, propensity };
    Decision {
        kind: Kind::Exploit,
        policy: "thompson".into(),
        snapshot_version: 0,
        segment: None,
        knob: Knob::Quality(0.9),
        phi: vec![1.0],
        widening: 1.0,
        verbosity: 0.0,
        input_tokens: 1,
        difficulty: 0.5,
        candidates: vec![candidate("cheap", 1.0 - sort.dear), candidate("dear", sort.dear)],
        preferred: 0,
        chosen,
        draw: 0.5,
        audit,
        consult: None,
    }
}

/// A route that shadows `share` of its requests, and of whose other answers clients score a half.
struct World {
    rng: StdRng,
    share: f64,
    /// Of the judge's grades.
    lost: f64,
    audit: Audit,
}

impl World {
    fn new(seed: u64, share: f64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), share, lost: 0.0, audit: Audit::default() }
    }

    fn answer(&mut self, sort: Sort, model: usize) -> f64 {
        f64::from(u8::from(self.rng.random_bool(sort.quality[model])))
    }

    fn request(&mut self) {
        let sort = SORTS[usize::from(self.rng.random_bool(0.5))];
        self.answered(sort);
    }

    fn answered(&mut self, sort: Sort) {
        let chosen = usize::from(self.rng.random_bool(sort.dear));
        let own = self.answer(sort, chosen);
        if self.rng.random_bool(self.share) {
            let audit = Some(Audited { share: self.share, best: 1 });
            let best = if chosen == 1 { own } else { self.answer(sort, 1) };
            let decision = decision(sort, chosen, audit);
            self.audit.answered(&decision);
            if (0..2 - chosen).all(|_| self.lost == 0.0 || self.rng.random_bool(1.0 - self.lost)) {
                self.audit.compared(&decision, None, (own, best));
            }
        } else if self.rng.random_bool(0.5) {
            self.audit.scored(&decision(sort, chosen, None), "dear", own);
        }
    }

    /// What is measured after so many requests.
    fn after(mut self, requests: usize) -> Audit {
        (0..requests).for_each(|_| self.request());
        self.audit
    }
}

fn mean_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[test]
fn exploration_and_shadows_both_measure_what_is_so_whatever_was_predicted() {
    let (own, best) = truth();
    let measured = |share: f64| -> Vec<Audit> { (0..60).map(|seed| World::new(seed, share).after(4_000)).collect() };
    let (explored, shadowed) = (measured(0.0), measured(0.1));
    let mean = |audits: &[Audit], read: fn(&Audit) -> Option<Measure>| {
        mean_of(audits.iter().map(|audit| read(audit).unwrap().mean))
    };
    // An answer to a hard request stands for 200.
    assert!((mean(&explored, Audit::best) - best).abs() < 0.03);
    assert!((mean(&shadowed, Audit::best) - best).abs() < 0.005);
    assert!((mean(&shadowed, Audit::own) - own).abs() < 0.005);
    assert!((mean(&shadowed, difference) - (own - best)).abs() < 0.005);
    assert!((mean(&shadowed, Audit::kept) - own / best).abs() < 0.005);
}

/// The route's own answers less the best model's.
fn difference(audit: &Audit) -> Option<Measure> {
    Some(audit.measure((1.0, -1.0))?.within(-1.0, 1.0))
}

#[test]
fn the_intervals_hold_whenever_one_looks_in_nineteen_of_twenty_streams() {
    let (own, best) = truth();
    let truths = [own, best, own - best, own / best];
    let (streams, mut missed, mut widest) = (2000, [0; 4], 0.0_f64);
    for seed in 0..streams {
        let mut world = World::new(1_000 + seed, 0.1);
        let mut missed_here = [false; 4];
        for look in 0..60 {
            (0..50).for_each(|_| world.request());
            let audit = &world.audit;
            let measures = [audit.own(), audit.best(), difference(audit), audit.kept()];
            for (i, measure) in measures.iter().enumerate().filter(|_| audit.pairs() >= FIRST_LOOK) {
                let Measure { low, high, .. } = measure.unwrap();
                missed_here[i] |= !(low..=high).contains(&truths[i]);
                widest = if look == 59 { widest.max(high - low) } else { widest };
            }
        }
        missed.iter_mut().zip(missed_here).for_each(|(sum, here)| *sum += u64::from(here));
    }
    assert!(missed.iter().all(|missed| *missed <= streams / 20), "{missed:?} of {streams}");
    assert!(widest < 0.25, "{widest}");
}

#[test]
fn grades_that_are_lost_bias_nothing_and_leave_the_intervals_right() {
    let sort = Sort { quality: [0.5, 0.9], dear: 0.3 };
    let (kept, streams, mut missed, mut sum) = ((0.5 + 0.3 * 0.4) / 0.9, 300, 0, 0.0);
    for seed in 0..streams {
        let mut world = World { lost: 0.4, ..World::new(30_000 + seed, 1.0) };
        let mut missed_here = false;
        for _ in 0..40 {
            (0..50).for_each(|_| world.answered(sort));
            missed_here |= world.audit.kept().is_some_and(|found| !(found.low..=found.high).contains(&kept));
        }
        missed += u64::from(missed_here);
        sum += world.audit.kept().unwrap().mean;
    }
    assert!((sum / streams as f64 - kept).abs() < 0.005, "{} of {kept}", sum / streams as f64);
    assert!(missed <= streams / 20, "{missed} of {streams}");
}

#[test]
fn without_pairs_the_intervals_hold_too_and_are_as_wide_as_the_best_model_is_rarely_asked() {
    let mut widths = vec![];
    for dear in [0.3, 0.02, 0.002, 0.0002] {
        let sort = Sort { quality: [0.6, 0.95], dear };
        let own = 0.6 + dear * 0.35;
        let (streams, mut missed, mut width) = (400, [0; 2], 0.0);
        for seed in 0..streams {
            let mut world = World::new(20_000 + seed, 0.0);
            let mut missed_here = [false; 2];
            for _ in 0..60 {
                (0..50).for_each(|_| world.answered(sort));
                for (i, measure) in [world.audit.best(), world.audit.kept()].into_iter().enumerate() {
                    let misses = |m: Measure| !(m.low..=m.high).contains(&[0.95, own / 0.95][i]);
                    missed_here[i] |= measure.is_some_and(misses);
                }
            }
            missed.iter_mut().zip(missed_here).for_each(|(sum, here)| *sum += u64::from(here));
            width += world.audit.best().map_or(0.0, |best| best.high - best.low) / streams as f64;
        }
        assert!(missed.iter().all(|missed| *missed <= streams / 20), "{missed:?} of {streams} at {dear}");
        widths.push(width);
    }
    assert!(widths.is_sorted() && widths[0] < 0.15 && widths[3] > 0.8, "{widths:?}");
}

#[test]
fn answers_that_are_nearly_always_right_are_not_taken_for_certain() {
    for quality in [0.97, 0.99, 0.995] {
        let sort = Sort { quality: [quality, quality], dear: 0.05 };
        let (streams, mut missed) = (500, 0);
        for seed in 0..streams {
            let mut world = World::new(9_000 + seed, 0.2);
            let misses = |audit: &Audit| {
                let own = audit.own().filter(|_| audit.pairs() >= FIRST_LOOK);
                own.is_some_and(|own| !(own.low..=own.high).contains(&quality))
            };
            let mut looks = (0..60).map(|_| {
                (0..50).for_each(|_| world.answered(sort));
                misses(&world.audit)
            });
            missed += u64::from(looks.any(|missed| missed));
        }
        assert!(missed <= streams / 20, "{missed} of {streams} at {quality}");
    }
}

#[test]
fn a_judge_and_clients_who_mean_different_things_are_not_mixed() {
    let (plain, shadowed) = (decision(SORTS[0], 0, None), decision(SORTS[0], 0, Some(Audited { share: 0.1, best: 1 })));
    let mut audit = Audit::default();
    for i in 0..1_000 {
        audit.scored(&plain, "dear", f64::from(u8::from(i % 10 < 4)));
        audit.compared(&shadowed, None, (0.8, 0.9));
    }
    let [own, best, kept] = [audit.own(), audit.best(), audit.kept()].map(|measure| measure.unwrap());
    assert!((own.mean - 0.8).abs() < 1e-9 && (best.mean - 0.9).abs() < 1e-9, "{own:?} {best:?}");
    assert!((kept.mean - 0.8 / 0.9).abs() < 1e-9 && kept.low < kept.mean && kept.high > kept.mean, "{kept:?}");
}

#[test]
fn a_revision_moves_both_models_as_the_score_did_and_nothing_that_was_not_counted() {
    let (cheap, dear) = (decision(SORTS[0], 0, None), decision(SORTS[0], 1, None));
    let scored = |value: f64| {
        let mut audit = Audit::default();
        (0..2 * FIRST_LOOK).for_each(|i| audit.scored(if i % 4 == 0 { &dear } else { &cheap }, "dear", value));
        audit
    };
    let (mut revised, first) = (scored(0.4), scored(0.8));
    (0..2 * FIRST_LOOK).for_each(|i| revised.revised(if i % 4 == 0 { &dear } else { &cheap }, "dear", 0.4));
    for read in [Audit::own, Audit::best, Audit::kept] {
        let (revised, first) = (read(&revised).unwrap().mean, read(&first).unwrap().mean);
        assert!((revised - first).abs() < 1e-9, "{revised} {first}");
    }
    let before = revised.own();
    revised.revised(&cheap, "another", 0.4);
    assert_eq!(revised.own(), before, "the best model was no candidate: the answer is not in the sample");
}

#[test]
fn both_samples_together_say_more_than_either() {
    let width = |audit: &Audit| audit.best().map(|best| best.high - best.low).unwrap();
    let both = World::new(3, 0.2).after(3_000);
    let (scored, pairs) = (Audit { pairs: Pairs::default(), ..both }, Audit { scored: Moments::default(), ..both });
    assert!(width(&both) < width(&scored).min(width(&pairs)), "{both:?}");
}

#[test]
fn few_rows_say_nothing_and_a_judge_that_changed_its_mind_is_heard() {
    let audit = Some(Audited { share: 1.0, best: 1 });
    let decision = decision(SORTS[0], 0, audit);
    let mut audit = Audit::default();
    (0..FIRST_LOOK - 1).for_each(|_| audit.compared(&decision, None, (0.0, 1.0)));
    assert_eq!(audit.own(), None);
    audit.compared(&decision, None, (0.0, 1.0));
    audit.compared(&decision, Some((0.0, 1.0)), (1.0, 1.0));
    assert!((audit.own().unwrap().mean - 0.01).abs() < 1e-12);
    assert_eq!((audit.best().unwrap().mean, audit.pairs()), (1.0, FIRST_LOOK));
    audit.revised(&decision, "dear", 1.0);
    audit.scored(&decision, "dear", 1.0);
    assert_eq!(audit.scored.rows(), 0, "a shadowed request is in one sample only");
}
