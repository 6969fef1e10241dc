use bytes::Bytes;

use super::*;
use crate::catalog::{ModelId, Usage};
use crate::trace::ReplyText;
use crate::trace::kept::{Form, Meaning, Pieces};

const PLENTY: u64 = 1 << 30;

fn kept(n: u8, form: Form) -> Kept {
    Kept {
        at_ms: u64::from(n),
        until_ms: 1000 + u64::from(n),
        model: ModelId { provider: "p".into(), model: "m".into() },
        usage: Some(Usage { input_tokens: 1, ..Usage::default() }),
        text: ReplyText { content: "x".into(), finish_reason: Some("stop".into()), ..ReplyText::default() },
        form,
        meaning: n.is_multiple_of(2).then(|| Meaning { partition: [n; 32], vector: vec![0.5, -0.5] }),
    }
}

fn plain(n: u8) -> Kept {
    kept(n, Form::Whole(Bytes::from(vec![n; 100])))
}

/// Writes answers down, and ends in order.
fn write(folder: &Path, limit: u64, answers: &[(Key, Kept)]) {
    let (shelf, _) = AnswerShelf::open(folder, limit, PLENTY, 0).unwrap();
    for (key, kept) in answers {
        shelf.sender().send(Shelving::Keep(*key, Arc::new(kept.clone()))).unwrap();
    }
    shelf.stop();
}

fn read(folder: &Path, memory: u64, now_ms: u64) -> Vec<(Key, Kept)> {
    let (shelf, kept) = AnswerShelf::open(folder, PLENTY, memory, now_ms).unwrap();
    shelf.stop();
    kept
}

#[test]
fn a_restart_finds_what_was_kept_and_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = Pieces::of([(&b"{}"[..], false), (b"[]", true)]);
    let answers = [([1; 32], plain(1)), ([2; 32], kept(2, Form::Streamed(pieces))), ([3; 32], plain(3))];
    write(folder.path(), PLENTY, &answers);
    assert_eq!(read(folder.path(), PLENTY, 0), answers);
    assert_eq!(read(folder.path(), PLENTY, 1002), answers[2..], "by then the others are too old");
    let two = answers[1..].iter().map(|(_, kept)| kept.weight() as u64).sum();
    assert_eq!(read(folder.path(), two, 0), answers[1..], "the newest, as many as memory takes");
    assert_eq!(read(folder.path(), 0, 0), []);
}

#[test]
fn answers_that_hold_no_more_take_no_room_from_those_that_do() {
    let folder = tempfile::tempdir().unwrap();
    let long = ([0; 32], Kept { until_ms: 10_000, ..plain(0) });
    let short = (1..6).map(|n| ([n; 32], plain(n)));
    let answers: Vec<(Key, Kept)> = std::iter::once(long.clone()).chain(short).collect();
    write(folder.path(), PLENTY, &answers);
    let room_for_one = answers.iter().map(|(_, kept)| kept.weight() as u64).max().unwrap();
    assert_eq!(read(folder.path(), room_for_one, 2000), [long]);
}

#[test]
fn a_newer_answer_takes_the_place_of_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PLENTY, &[([1; 32], plain(1)), ([1; 32], plain(5))]);
    write(folder.path(), PLENTY, &[([1; 32], plain(7))]);
    assert_eq!(read(folder.path(), PLENTY, 0), [([1; 32], plain(7))]);
}

#[test]
fn beyond_the_limit_the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let answers: Vec<(Key, Kept)> = (0..20).map(|n| ([n; 32], plain(n))).collect();
    write(folder.path(), 500, &answers);
    let left = read(folder.path(), PLENTY, 0);
    assert!((1..20).contains(&left.len()), "{}", left.len());
    assert_eq!(left, answers[answers.len() - left.len()..]);
    write(folder.path(), 100, &[]);
    assert!(read(folder.path(), PLENTY, 0).len() < left.len(), "a smaller limit holds from the start on");
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(ANSWERS_FILE);
    std::fs::write(&file, "no database").unwrap();
    write(folder.path(), PLENTY, &[([1; 32], plain(1))]);
    assert_eq!(read(folder.path(), PLENTY, 0).len(), 1);
    assert_eq!(std::fs::read(file.with_extension("redb.unreadable")).unwrap(), b"no database");
}

#[test]
fn whichever_page_is_damaged_answers_are_kept_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let answers: Vec<(Key, Kept)> = (0..200).map(|n| ([n; 32], plain(n))).collect();
    write(folder.path(), PLENTY, &answers);
    let file = folder.path().join(ANSWERS_FILE);
    let aside = file.with_extension("redb.unreadable");
    let whole = std::fs::read(&file).unwrap();
    let mut put_aside = 0;
    let pages = (0..whole.len()).step_by(4096);
    // Also with all but the page's kind damaged, which redb looks at when it opens a file in a debug build.
    for (page, kept) in pages.flat_map(|page| [(page, 0), (page, 1)]) {
        let mut damaged = whole.clone();
        damaged[page + kept..page + 4096].fill(0xA5);
        std::fs::write(&file, &damaged).unwrap();
        let kept = read(folder.path(), PLENTY, 0);
        if aside.exists() {
            assert_eq!(kept, [], "page at {page}");
            std::fs::remove_file(&aside).unwrap();
            put_aside += 1;
        }
        let new = ([201; 32], plain(201));
        write(folder.path(), PLENTY, std::slice::from_ref(&new));
        assert_eq!(read(folder.path(), PLENTY, 0).last(), Some(&new), "page at {page}");
    }
    assert!(put_aside > 2, "{put_aside}");
}
