//! A panel: before a dear model is asked, two cheap ones are; where their final answers agree, theirs is given.
//!
//! What makes a prompt hard for one model makes it hard for others beyond what φ tells: given u ~ N(0, [`odds::SPREAD`]²), which
//! all models share, each is right with p(u) = σ(logit + u), independently of the others (a random effect on an
//! item-response model: Bradlow, Wainer & Wang, 1999). Two answers are the same where both are right, and with the
//! probability e where both are wrong. From this follow how often two agree, how good an answer is on which they do, and
//! how good others' answers are to prompts on which they do not: who is asked only then is not asked the usual prompts.

mod odds;

use serde::{Deserialize, Serialize};

use super::gaussian::{Gaussian, identity};
use super::logistic::{mean_sigmoid, sigmoid};
use super::{Candidate, Decision};
use odds::{Odds, Pair, right_though};

/// Models of which two are chosen at most: those of the least cost for their quality.
const MEMBERS: usize = 6;
/// A panel is asked where it is expected to save at least this share of the dear answer's cost.
const LEAST_SAVING: f64 = 0.1;
/// What is believed before any agreement was seen: so many agreements as foreseen, …
const FORESEEN: f64 = 20.0;
/// … and e, of so many agreements on wrong answers for each that would have come if all wrong answers were the same.
const SAME_ERRORS: (f64, f64) = (2.0, 10.0);
/// The logit with which two answers can be compared, its variance, and that of how it depends on each axis of φ.
const COMPARABLE: (f64, f64, f64) = (-1.0, 4.0, 0.3);
/// An answer that is right may be told from another that is, as where they are written differently.
const MISREAD: f64 = 0.05;

/// What came of the leave to ask two models before the drawn one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Consult {
    /// `None`: the drawn model was asked by itself.
    pub panel: Option<Panel>,
    /// USD that the arm that the means prefer was expected to cost, with the panel that would have been asked before it.
    pub foreseen_usd: f64,
}

/// The two that are asked before the drawn model, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Indices into the candidates. Where they agree, the first one's answer is given.
    pub members: [usize; 2],
    /// e, the probability that two wrong answers are the same.
    pub same_errors: f64,
    pub verdict: Verdict,
}

/// What the members of a panel said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They were not asked, or one of them did not answer.
    #[default]
    None,
    /// One of them gave no final answer that could be compared.
    Incomparable,
    /// The same.
    Agreed,
    /// Not the same. Each may have said what the answer says that was given after all.
    Differed([bool; 2]),
}

/// What is to be learned of one arm from a request's score y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Index into the candidates.
    pub arm: usize,
    /// It is scored `from` + `slope` · y.
    pub from: f64,
    pub slope: f64,
    /// How much lower the logit of its quality is on such prompts than on all that φ is of.
    pub offset: f64,
    /// The share of the information of a score that this one has where y is 0; all of it where y is 1.
    pub certainty: f64,
}

impl Verdict {
    /// As metrics and traces print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Incomparable => "incomparable",
            Self::Agreed => "agreed",
            Self::Differed(_) => "differed",
        }
    }
}

impl Lesson {
    /// What the score `y` of `arm`'s own answer says.
    pub fn own(arm: usize) -> Self {
        Self { arm, from: 0.0, slope: 1.0, offset: 0.0, certainty: 1.0 }
    }

    /// The score that the arm has.
    pub fn value(&self, y: f64) -> f64 {
        self.from + self.slope * y
    }

    /// The share of a score's information.
    pub fn share(&self, y: f64) -> f64 {
        y + (1.0 - y) * self.certainty
    }
}

impl Panel {
    /// Whether both members answered: what the drawn arm cost and said is not all that there is to know then.
    pub fn was_heard(&self) -> bool {
        self.verdict != Verdict::None
    }

    /// Whether the members' answer was given, and the drawn model not asked.
    pub fn agreed(&self) -> bool {
        self.verdict == Verdict::Agreed
    }

    /// How its members agree; `None` where they are no candidates.
    fn pair(&self, candidates: &[Candidate]) -> Option<Pair> {
        let [one, other] = self.members.map(|k| candidates.get(k).map(|candidate| Odds::of(candidate.quality)));
        Some(Pair::new(&one?, &other?, self.same_errors))
    }

    /// What the score of the answer says, which `arm` gave, or the panel in its place.
    pub(super) fn lessons(&self, candidates: &[Candidate], arm: usize) -> Vec<Lesson> {
        let odds = |k: usize| Odds::of(candidates[k].quality);
        let valid = self.members.iter().all(|k| *k < candidates.len() && *k != arm) && arm < candidates.len();
        match self.verdict {
            Verdict::Agreed if valid => self.members.map(Lesson::own).into(),
            Verdict::Differed(like) if valid => {
                let (members, last) = (self.members.map(odds), odds(arm));
                let apart = Pair::new(&members[0], &members[1], self.same_errors);
                let mut lessons = vec![Lesson { offset: apart.offset_where_they_differ(&last), ..Lesson::own(arm) }];
                for (i, like) in like.into_iter().enumerate() {
                    let (p, right) =
                        (candidates[self.members[i]].quality, right_though(&members, i, &last, self.same_errors));
                    lessons.push(match like {
                        true => Lesson::own(self.members[i]),
                        false => Lesson {
                            from: right,
                            slope: MISREAD - right,
                            certainty: (1.0 - right * (1.0 - right) / (p * (1.0 - p)).max(1e-9)).clamp(0.0, 1.0),
                            ..Lesson::own(self.members[i])
                        },
                    });
                }
                lessons
            }
            _ => vec![Lesson::own(arm)],
        }
    }
}

/// What a route has seen of panels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Panels {
    /// θ of the chance σ(θ·φ) that two answers can be compared.
    comparable: Gaussian,
    /// Agreements that were seen, and foreseen, among answers that could be compared.
    agreed: f64,
    foreseen: f64,
    /// Agreements that turned out wrong, and how many there would have been with e = 1.
    wrong: f64,
    exposed: f64,
}

impl Panels {
    /// Before any request; φ has `d` values.
    pub(super) fn new(d: usize) -> Self {
        let mut covariance = identity(d);
        covariance.iter_mut().for_each(|c| *c *= COMPARABLE.2);
        covariance[0] = COMPARABLE.1;
        let mean = (0..d).map(|axis| if axis == 0 { COMPARABLE.0 } else { 0.0 }).collect();
        Self { comparable: Gaussian::new(mean, covariance), agreed: 0.0, foreseen: 0.0, wrong: 0.0, exposed: 0.0 }
    }

    /// e, the probability that two wrong answers are the same.
    pub(super) fn same_errors(&self) -> f64 {
        ((SAME_ERRORS.0 + self.wrong) / (SAME_ERRORS.1 + self.exposed)).clamp(0.0, 1.0)
    }

    /// Agreements for each that is foreseen, where answers can be compared: what is expected, and what may be hoped for.
    fn rates(&self, phi: &[f64]) -> (f64, f64) {
        let (mean, variance) = (self.comparable.mean_along(phi), self.comparable.variance_along(phi));
        let agreed = ((self.agreed + FORESEEN) / (self.foreseen + FORESEEN)).min(1.0);
        (mean_sigmoid(mean, variance) * agreed, sigmoid(mean + variance.sqrt()) * agreed)
    }

    /// For each arm the two to be asked before it, if that may be hoped to save money and keeps its quality: what is not
    /// tried is never known. Its cost in `cost` is then what the whole is expected to take, if that is less. One value per
    /// arm in `quality` and `cost`.
    pub(super) fn assemble(&self, phi: &[f64], quality: &[f64], cost: &mut [f64]) -> Vec<Option<[usize; 2]>> {
        let mut panels = vec![None; quality.len()];
        let dearest = cost.iter().copied().fold(0.0, f64::max);
        let mut cheap = members(quality, cost);
        cheap.retain(|k| 2.0 * cost[*k] < dearest);
        if cheap.len() < 2 {
            return panels;
        }
        let (e, (expected, hoped)) = (self.same_errors(), self.rates(phi));
        let odds: Vec<Odds> = quality.iter().map(|quality| Odds::of(*quality)).collect();
        let pairs = pairs(&cheap, quality, cost, |one, other| Pair::new(&odds[one], &odds[other], e));
        for (k, cost) in cost.iter_mut().enumerate() {
            let alone = *cost;
            let total = |(_, asked, pair): &&(_, f64, Pair), rate: f64| asked + (1.0 - rate * pair.agree) * alone;
            let fit = pairs
                .iter()
                .filter(|(members, _, pair)| !members.contains(&k) && pair.quality() >= pair.quality_of(&odds[k]));
            let best = fit.min_by(|a, b| total(a, hoped).total_cmp(&total(b, hoped)));
            if let Some(best) = best.filter(|best| total(best, hoped) < alone * (1.0 - LEAST_SAVING)) {
                (*cost, panels[k]) = (total(&best, expected).min(alone), Some(best.0));
            }
        }
        panels
    }

    /// A request was decided, and if a panel was asked, this is what it said.
    pub(super) fn hear(&mut self, decision: &Decision) {
        let Some(panel) = decision.panel() else { return };
        let compared = match panel.verdict {
            Verdict::None => return,
            Verdict::Incomparable => 0.0,
            Verdict::Agreed | Verdict::Differed(_) => 1.0,
        };
        self.compare(&decision.phi, compared);
        if compared > 0.0 {
            self.foreseen += panel.pair(&decision.candidates).map_or(0.0, |pair| pair.agree);
            self.agreed += f64::from(u8::from(panel.agreed()));
        }
    }

    fn compare(&mut self, phi: &[f64], y: f64) {
        let variance = self.comparable.variance_along(phi);
        let p = mean_sigmoid(self.comparable.mean_along(phi), variance);
        let information = (p * (1.0 - p)).max(1e-3);
        let damping = 1.0 + information * variance;
        let along = self.comparable.covariance_times(phi);
        self.comparable.observe(&along, (y - p) / damping, information / damping);
    }

    /// An answer on which a panel agreed is scored `value` with this weight; `was`: what it was scored before.
    pub(super) fn learn(&mut self, decision: &Decision, was: Option<f64>, value: f64, weight: f64) {
        let Some(panel) = decision.panel().filter(|panel| panel.agreed()) else { return };
        let Some(pair) = panel.pair(&decision.candidates) else { return };
        match was {
            Some(was) => self.wrong = (self.wrong + weight * (was - value)).max(0.0),
            None => {
                self.wrong += weight * (1.0 - value);
                self.exposed += weight * pair.both_wrong / pair.agree.max(1e-12);
            }
        }
    }
}

/// All pairs of `cheap`, the better one first, what both cost, and how they agree.
fn pairs(
    cheap: &[usize],
    quality: &[f64],
    cost: &[f64],
    pair: impl Fn(usize, usize) -> Pair,
) -> Vec<([usize; 2], f64, Pair)> {
    let mut pairs = Vec::with_capacity(MEMBERS * (MEMBERS - 1) / 2);
    for (i, &one) in cheap.iter().enumerate() {
        for &other in &cheap[i + 1..] {
            let members = if quality[one] >= quality[other] { [one, other] } else { [other, one] };
            pairs.push((members, cost[one] + cost[other], pair(one, other)));
        }
    }
    pairs
}

/// The arms that have the most quality for their cost.
fn members(quality: &[f64], cost: &[f64]) -> Vec<usize> {
    let mut arms: Vec<usize> = (0..quality.len()).collect();
    let dear = |k: &usize| cost[*k] / (quality[*k] * quality[*k]).max(1e-9);
    arms.sort_by(|a, b| dear(a).total_cmp(&dear(b)));
    arms.truncate(MEMBERS);
    arms
}

#[cfg(test)]
mod tests;
