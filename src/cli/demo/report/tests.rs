use super::super::models::{INSTRUCTION, usage};
use super::super::puzzles::generate;
use super::super::scorer;
use super::*;

/// A run in which `choose` picks the model, played without a gateway.
fn played(puzzles: &[Puzzle], choose: impl Fn(usize, &Puzzle) -> usize) -> Tally {
    let mut tally = Tally::default();
    for (i, puzzle) in puzzles.iter().enumerate() {
        let model = choose(i, puzzle);
        let text = LADDER[model].answer(puzzle, 1);
        let answered = Answered {
            puzzle: i,
            model,
            right: scorer::is_right(&puzzle.answer, &text),
            cost_usd: LADDER[model].price.cost(&usage(&[INSTRUCTION, &puzzle.prompt], &text)),
            trace_id: format!("trace-{i}"),
            decision: if i % 10 == 0 { "explore".into() } else { "exploit".into() },
            assessed: puzzle.difficulty / 8.0 + 0.5,
        };
        tally.add(answered, puzzle);
    }
    tally
}

fn report(puzzles: &[Puzzle], choose: impl Fn(usize, &Puzzle) -> usize) -> Report {
    let tally = played(puzzles, choose);
    let bill = Billed { calls: puzzles.len() as u64, usd: tally.spent_usd };
    Report::new(&tally, puzzles, bill, 0.95, 7)
}

#[test]
fn always_the_best_costs_what_it_costs_and_saves_nothing() {
    let report = report(&generate(1, 2_000), |_, _| LADDER.len() - 1);
    let (quality, cost) = report.satisfice.of_best();
    assert!((quality - 1.0).abs() < 0.01 && (cost - 1.0).abs() < 0.001, "{quality} at {cost}");
    assert!(report.saved().abs() < 0.001);
    assert!(report.to_string().contains(": met."), "{report}");
}

#[test]
fn always_the_cheapest_misses_the_bar() {
    let report = report(&generate(1, 2_000), |_, _| 0);
    let cheapest = report.fixed[0];
    let Quality { low, high, .. } = cheapest.quality;
    let measured = report.satisfice.quality.mean;
    assert!(low - 0.02 < measured && measured < high + 0.02, "{measured} in {low}–{high}");
    assert!((report.satisfice.usd_per_1k / cheapest.usd_per_1k - 1.0).abs() < 0.01);
    assert!(report.saved() > 0.99);
    assert!(report.to_string().contains(": missed."), "{report}");
}

#[test]
fn knowing_the_true_difficulty_pays() {
    let report = report(&generate(1, 2_000), |_, puzzle| match puzzle.difficulty {
        ..-1.8 => 0,
        ..-0.8 => 1,
        ..0.8 => 3,
        _ => 4,
    });
    let (quality, cost) = report.satisfice.of_best();
    assert!(quality > 0.95 && cost < 0.7, "{quality} at {cost}");
    assert!((report.correlation - 1.0).abs() < 1e-9);
}

#[test]
fn the_shares_of_both_ends_show_a_change() {
    let report = report(&generate(1, 1_200), |i, _| if i < 600 { 2 } else { 3 });
    let (first, last) = report.shares;
    assert_eq!((first.requests, last.requests), (500, 500));
    assert!((first.shares[2] - 1.0).abs() < 1e-9 && (last.shares[3] - 1.0).abs() < 1e-9);
}

#[test]
fn the_example_is_the_hardest_that_the_strongest_model_got_right_on_purpose() {
    let puzzles = generate(1, 800);
    let tally = played(&puzzles, |i, _| if i % 3 == 0 { 4 } else { 1 });
    let example = example(&tally.answered, &puzzles).unwrap();
    assert_eq!((example.model, example.decision.as_str(), example.right), ("sim-frontier", "exploit", true));
    let telling = tally.answered.iter().filter(|a| a.model == 4 && a.right && a.decision == "exploit");
    let hardest = telling.map(|a| a.assessed).fold(0.0, f64::max);
    assert_eq!(example.assessed, hardest);
}

#[test]
fn a_run_of_one_request_can_be_reported() {
    let text = report(&generate(1, 1), |_, _| 2).to_string();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}
