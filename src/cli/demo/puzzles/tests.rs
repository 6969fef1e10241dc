use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::super::scorer;
use super::*;

/// Answers of a solver in another language that sees nothing but the prompts; `None` where there is no Python.
fn second_opinion(puzzles: &[Puzzle]) -> Option<Vec<String>> {
    let mut solver = Command::new("python3")
        .args(["-c", include_str!("second_opinion.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let prompts: String = puzzles.iter().map(|p| serde_json::to_string(&p.prompt).unwrap() + "\n").collect();
    let mut input = solver.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(prompts.as_bytes()).unwrap());
    let output = solver.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_answer_is_what_an_independent_solver_finds_from_the_prompt() {
    let puzzles = generate(7, 4_000);
    let Some(found) = second_opinion(&puzzles) else {
        eprintln!("skipped: there is no python3 to solve the puzzles a second time");
        return;
    };
    assert_eq!(found.len(), puzzles.len());
    for (puzzle, found) in puzzles.iter().zip(found) {
        assert_eq!(puzzle.answer.to_string(), found, "{}: {}", puzzle.family, puzzle.prompt);
    }
}

#[test]
fn a_seed_gives_the_same_puzzles_and_another_seed_others() {
    assert_eq!(generate(7, 50), generate(7, 50));
    assert_eq!(generate(7, 50), generate(7, 80)[..50]);
    assert_ne!(generate(7, 50), generate(8, 50));
}

#[test]
fn equal_prompts_have_equal_answers() {
    let mut seen = HashMap::new();
    for puzzle in generate(1, 5_000) {
        let first = seen.entry(puzzle.prompt.clone()).or_insert_with(|| puzzle.answer.clone());
        assert_eq!(*first, puzzle.answer, "{}", puzzle.prompt);
    }
}

#[test]
fn every_family_comes_and_most_puzzles_are_easy() {
    let puzzles = generate(1, 2_000);
    for family in &FAMILIES {
        assert!(puzzles.iter().any(|p| p.family == family.name), "{}", family.name);
    }
    let easy = puzzles.iter().filter(|p| p.difficulty < 0.0).count();
    let hard = puzzles.iter().filter(|p| p.difficulty > 1.5).count();
    assert!((1_000..1_500).contains(&easy) && (150..400).contains(&hard), "{easy} easy, {hard} hard");
    assert!(puzzles.iter().all(|p| p.difficulty.abs() < 4.0));
}

#[test]
fn a_level_comes_as_often_as_its_weight() {
    let counts = (0..1_000).fold([0; 4], |mut counts, i| {
        counts[level(f64::from(i) / 1_000.0) as usize] += 1;
        counts
    });
    assert!(counts.iter().zip([400, 300, 200, 100]).all(|(n, w): (&i32, i32)| (n - w).abs() <= 1), "{counts:?}");
}

proptest! {
    #[test]
    fn the_right_answer_passes_and_a_wrong_one_fails(seed in any::<u64>(), slip in 0.0..1.0) {
        for puzzle in generate(seed, 20) {
            let right = format!("Some working.\nAnswer: {}", puzzle.answer);
            let wrong = format!("Some working.\nAnswer: {}", puzzle.answer.wrong(slip));
            prop_assert!(scorer::is_right(&puzzle.answer, &right), "{right}");
            prop_assert!(!scorer::is_right(&puzzle.answer, &wrong), "{wrong} for {}", puzzle.answer);
        }
    }
}
