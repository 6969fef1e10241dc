use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::{Kind, Knob};
use super::odds::{N, WEIGHTS, mean};
use super::*;

fn candidate(quality: f64) -> Candidate {
    Candidate { arm: "a".into(), quality, cost_usd: 1.0, propensity: 0.25 }
}

fn decision(qualities: &[f64], verdict: Verdict) -> Decision {
    let panel = Panel { members: [0, 1], same_errors: 0.2, verdict };
    Decision {
        kind: Kind::Exploit,
        candidates: qualities.iter().map(|quality| candidate(*quality)).collect(),
        phi: vec![1.0],
        chosen: 2,
        consult: Some(Consult { panel: Some(panel), foreseen_usd: 1.0 }),
        ..Decision::cached("", None, Knob::Quality(0.95), 0)
    }
}

/// Answers of models of these qualities to one prompt: 0 is right; wrong ones are the same with probability `e`.
fn answers<const K: usize>(qualities: [f64; K], e: f64, rng: &mut StdRng) -> [u32; K] {
    let node = {
        let (mut reached, draw) = (0.0, rng.random::<f64>());
        (0..N - 1)
            .position(|n| {
                reached += WEIGHTS[n];
                draw < reached
            })
            .unwrap_or(N - 1)
    };
    let mut next = 1;
    qualities.map(|quality| match rng.random::<f64>() {
        draw if draw < Odds::of(quality).0[node] => 0,
        _ if rng.random::<f64>() < e.sqrt() => 1,
        _ => {
            next += 1;
            next
        }
    })
}

#[test]
fn what_follows_from_an_agreement_and_from_none_is_what_comes_of_them() {
    const QUALITIES: [f64; 3] = [0.7, 0.6, 0.85];
    let (mut rng, e, runs) = (StdRng::seed_from_u64(1), 0.2, 200_000);
    let [one, other, last] = QUALITIES.map(Odds::of);
    let pair = Pair::new(&one, &other, e);
    let offset = pair.offset_where_they_differ(&last);
    let (mut agreed, mut right, mut last_right, mut apart_right, mut first_right, mut hard) =
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for _ in 0..runs {
        let [one, other, last] = answers(QUALITIES, e, &mut rng);
        if one == other {
            agreed += 1.0;
            right += f64::from(u8::from(one == 0));
            last_right += f64::from(u8::from(last == 0));
        } else {
            apart_right += f64::from(u8::from(last == 0));
            if last != 0 && one != last {
                hard += 1.0;
                first_right += f64::from(u8::from(one == 0));
            }
        }
    }
    let near = |is: f64, seen: f64| assert!((is - seen).abs() < 0.01, "{is} {seen}");
    near(pair.agree, agreed / f64::from(runs));
    near(pair.quality(), right / agreed);
    near(pair.quality_of(&last), last_right / agreed);
    let usual = mean(|n| last.0[n]);
    near(sigmoid((usual / (1.0 - usual)).ln() + offset), apart_right / (f64::from(runs) - agreed));
    // That the last one differs from both is taken for two independent events.
    let (is, seen) = (right_though(&[one, other], 0, &last, e), first_right / hard);
    assert!((is - seen).abs() < 0.02, "{is} {seen}");
}

#[test]
fn a_score_speaks_of_all_whose_answers_it_tells() {
    let qualities = [0.7, 0.6, 0.85];
    let lessons = |verdict| {
        let decision = decision(&qualities, verdict);
        decision.panel().unwrap().lessons(&decision.candidates, 2)
    };
    let own = Lesson::own;
    assert_eq!(lessons(Verdict::Agreed), [own(0), own(1)]);
    for nothing in [Verdict::None, Verdict::Incomparable] {
        assert_eq!(lessons(nothing), [own(2)], "{nothing:?}");
    }
    let differed = lessons(Verdict::Differed([true, false]));
    assert_eq!((differed[0].arm, differed[1]), (2, own(0)));
    assert!(differed[0].offset < -0.3, "who is asked of hard prompts only is not worse for that: {differed:?}");
    // Another answer than a right one is hardly right; than a wrong one, it may be.
    let other = differed[2];
    assert!(other.arm == 1 && other.value(1.0) < 0.1 && (0.1..0.6).contains(&other.value(0.0)), "{other:?}");
    assert!(other.share(1.0) == 1.0 && other.share(0.0) < 0.6, "{other:?}");
}

#[test]
fn a_panel_is_asked_where_it_saves_and_keeps_the_quality() {
    let panels = Panels::new(1);
    let assembled = |quality: &[f64], cost: &[f64]| {
        let mut cost = cost.to_vec();
        (panels.assemble(&[1.0], quality, &mut cost), cost)
    };
    let (members, cost) = assembled(&[0.7, 0.75, 0.8], &[0.02, 0.03, 1.0]);
    assert_eq!(members, [None, None, Some([1, 0])], "the better one's answer is given");
    assert!(cost[..2] == [0.02, 0.03] && (0.7..0.9).contains(&cost[2]), "nothing was compared yet: {cost:?}");
    assert_eq!(assembled(&[0.7, 0.75, 0.8], &[0.4, 0.45, 1.0]).0, [None; 3], "as dear as what they would save");
    assert_eq!(assembled(&[0.1, 0.1, 0.99], &[0.02, 0.03, 1.0]).0, [None; 3], "who is hardly right agrees on nothing");
    assert_eq!(assembled(&[0.7, 0.8], &[0.02, 1.0]).0, [None; 2], "it takes two");
    assert_eq!(assembled(&[0.7, 0.75, 0.8], &[0.0; 3]).0, [None; 3], "nothing is cheaper than nothing");
}

#[test]
fn where_answers_cannot_be_compared_or_are_the_same_and_wrong_nobody_is_asked_first() {
    let assembled = |panels: &Panels| panels.assemble(&[1.0], &[0.7, 0.75, 0.8], &mut [0.02, 0.03, 1.0])[2];
    let heard = |verdict| {
        let mut panels = Panels::new(1);
        (0..40).for_each(|_| panels.hear(&decision(&[0.7, 0.75, 0.8], verdict)));
        panels
    };
    assert_eq!(assembled(&heard(Verdict::Incomparable)), None);
    assert!(assembled(&heard(Verdict::Agreed)).is_some());
    let saves = |panels: &Panels| {
        let mut cost = [0.02, 0.03, 1.0];
        panels.assemble(&[1.0], &[0.7, 0.75, 0.8], &mut cost);
        1.0 - cost[2]
    };
    let differed = heard(Verdict::Differed([false; 2]));
    assert!(saves(&differed) < 0.6 * saves(&heard(Verdict::Agreed)), "who agree less than foreseen save less");
    assert!(assembled(&heard(Verdict::None)).is_some(), "a member that failed says nothing");
    let (mut right, mut wrong) = (heard(Verdict::Agreed), heard(Verdict::Agreed));
    for _ in 0..40 {
        right.learn(&decision(&[0.7, 0.75, 0.8], Verdict::Agreed), None, 1.0, 1.0);
        wrong.learn(&decision(&[0.7, 0.75, 0.8], Verdict::Agreed), None, 0.0, 1.0);
    }
    assert!(right.same_errors() < 0.15 && assembled(&right).is_some());
    assert_eq!((wrong.same_errors(), assembled(&wrong)), (1.0, None));
    let mut revised = wrong.clone();
    (0..40).for_each(|_| revised.learn(&decision(&[0.7, 0.75, 0.8], Verdict::Agreed), Some(0.0), 1.0, 1.0));
    assert_eq!(revised.same_errors(), right.same_errors(), "a revision corrects it");
}

proptest! {
    #[test]
    fn whatever_is_believed_a_panel_costs_less_and_lessons_are_scores(
        arms in prop::collection::vec((0.0..=1.0_f64, 0.0..2.0_f64), 3..20),
        like in prop::array::uniform2(any::<bool>()),
        e in 0.0..=1.0_f64,
    ) {
        let (quality, alone): (Vec<f64>, Vec<f64>) = arms.into_iter().unzip();
        let mut cost = alone.clone();
        let members = Panels::new(1).assemble(&[1.0], &quality, &mut cost);
        for k in 0..quality.len() {
            prop_assert!(cost[k] >= 0.0 && cost[k] <= alone[k]);
            prop_assert!(members[k].is_some() || cost[k] == alone[k]);
            prop_assert!(members[k].is_none_or(|[one, other]| one != other && one != k && other != k));
        }
        let decision = decision(&quality, Verdict::Differed(like));
        let panel = Panel { same_errors: e, ..*decision.panel().unwrap() };
        for lesson in panel.lessons(&decision.candidates, 2) {
            for y in [0.0, 0.3, 1.0] {
                prop_assert!((0.0..=1.0).contains(&lesson.value(y)) && (0.0..=1.0).contains(&lesson.share(y)));
            }
            prop_assert!(lesson.offset.is_finite());
        }
    }
}
