//! The store on a disk: what is kept, what is refused, what is given up.

use std::fs;
use std::path::Path;

use satisfice::store::{Checkpoint, Entry, Position, RedbStore, Retention, Store, StoreError};
use satisfice::trace::Trace;

use crate::recorded::{self, BEGIN_MS, decided, id, scored, settled, trace};

const HOUR_MS: u64 = 3_600_000;

fn open(folder: &Path) -> RedbStore {
    RedbStore::open(folder, Retention::default()).unwrap()
}

fn refused(folder: &Path) -> StoreError {
    RedbStore::open(folder, Retention::default()).unwrap_err()
}

fn replay(store: &dyn Store, after: Position) -> Vec<(Position, Entry)> {
    let mut seen = Vec::new();
    let visited = store.replay(after, &mut |position, entry| {
        seen.push((position, entry));
        Ok(())
    });
    visited.unwrap();
    seen
}

/// More than a block, so that commits, blocks and entries do not coincide.
fn many() -> Vec<Entry> {
    (0..100).flat_map(|n| [decided(n), settled(n)]).collect()
}

#[test]
fn entries_come_back_numbered_in_order_after_any_position() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let (first, second) = (many(), vec![scored(3, "client", 0.5), scored(3, "client", 1.0)]);
    assert_eq!(store.append(&first).unwrap(), 200);
    assert_eq!(store.append(&second).unwrap(), 202);
    drop(store);

    let expected: Vec<_> = (1..).zip(first.into_iter().chain(second)).collect();
    let store = open(folder.path());
    for after in [0, 1, 63, 64, 65, 199, 200, 201, 202, 500] {
        assert_eq!(replay(&store, after), expected[(after as usize).min(202)..], "after {after}");
    }
}

#[test]
fn a_file_of_no_bytes_is_no_ledger_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.redb");
    fs::write(&file, "").unwrap();
    let told = refused(folder.path()).to_string();
    assert!(told.contains("ledger.redb is damaged: it has no bytes") && told.contains("move it away"), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}

#[test]
fn a_ledger_that_was_removed_or_replaced_takes_nothing_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut store = open(&data);
    store.append(&[decided(1)]).unwrap();
    let gone = |store: &mut RedbStore| {
        let checkpoint = Checkpoint { position: 1, state: vec![1] };
        for refused in [store.append(&[decided(2)]).map(drop), store.checkpoint(&checkpoint)] {
            assert!(matches!(refused, Err(StoreError::Gone { .. })), "{refused:?}");
        }
    };
    let away = folder.path().join("away");
    fs::rename(&data, &away).unwrap();
    gone(&mut store);
    fs::create_dir(&data).unwrap();
    fs::copy(away.join("ledger.redb"), data.join("ledger.redb")).unwrap();
    gone(&mut store);
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&away, &data).unwrap();
    assert_eq!(store.append(&[decided(3)]).unwrap(), 2);
    drop(store);
    assert_eq!(replay(&open(&data), 0), [(1, decided(1)), (2, decided(3))]);
}

#[test]
fn a_request_s_history_is_what_stood_before_a_position() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.append(&many()).unwrap();
    store.append(&[scored(3, "client", 0.5), scored(4, "client", 0.1)]).unwrap();
    store.append(&[scored(3, "client", 1.0)]).unwrap();

    let whole = [decided(3), settled(3), scored(3, "client", 0.5), scored(3, "client", 1.0)];
    for (before, count) in [(7, 0), (8, 1), (9, 2), (201, 2), (202, 3), (203, 3), (204, 4), (Position::MAX, 4)] {
        assert_eq!(store.history(id(3), before).unwrap(), whole[..count], "before {before}");
    }
    assert_eq!(store.history(id(1_000), Position::MAX).unwrap(), []);
    let scores = store.reader().scores(id(3)).unwrap();
    assert_eq!(scores.iter().map(|s| s.value).collect::<Vec<_>>(), [1.0], "the newest of each source");

    drop(store);
    let mut store = open(folder.path());
    assert_eq!(store.history(id(99), Position::MAX).unwrap().len(), 2, "the last of all");
    store.append(&[decided(1_000), decided(500)]).unwrap();
    for (late, count) in [(3, 4), (500, 1), (700, 0), (1_000, 1), (2_000, 0)] {
        assert_eq!(store.history(id(late), Position::MAX).unwrap().len(), count, "{late}");
    }
}

#[test]
fn a_replay_shows_what_it_reads_to_a_visitor_that_asks_the_ledger_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    // More blocks than are read at once.
    many().iter().for_each(|entry| assert!(store.append(std::slice::from_ref(entry)).is_ok()));
    let mut seen = 0;
    let visited = store.replay(0, &mut |position, entry| {
        let earlier = store.history(entry.trace().unwrap(), position)?;
        assert_eq!(earlier.len(), ((position - 1) % 2) as usize, "{position}");
        seen += 1;
        if position < 150 { Ok(()) } else { Err(StoreError::Failed("the visitor's own".into())) }
    });
    assert_eq!((visited.unwrap_err().to_string(), seen), ("storage failed: the visitor's own".into(), 150));
    assert_eq!(replay(&store, 0).len(), 200);
}

#[test]
fn whichever_page_of_the_ledger_is_damaged_it_is_said_and_no_thread_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let entries: Vec<Entry> = (0..600).flat_map(|n| [decided(n), settled(n)]).collect();
    store.append(&entries).unwrap();
    store.checkpoint(&Checkpoint { position: 9, state: vec![7; 9000] }).unwrap();
    drop(store);
    let path = folder.path().join("ledger.redb");
    let whole = fs::read(&path).unwrap();
    let mut found = [0; 4];
    for page in (4096..whole.len()).step_by(4096).filter(|page| whole[*page..page + 4096].iter().any(|byte| *byte != 0))
    {
        // All but the page's kind, which redb looks at when it opens a file in a debug build.
        let mut damaged = whole.clone();
        damaged[page + 1..page + 4096].fill(0xA5);
        fs::write(&path, damaged).unwrap();
        let Ok(store) = RedbStore::open(folder.path(), Retention::default()) else { continue };
        let reader = store.reader();
        let read = [
            (0..600).step_by(20).try_for_each(|n| store.history(id(n), Position::MAX).map(drop)),
            (0..600).step_by(20).try_for_each(|n| reader.scores(id(n)).map(drop)),
            store.replay(0, &mut |_, _| Ok(())),
            store.latest_checkpoint().map(drop),
        ];
        for (found, read) in found.iter_mut().zip(read) {
            if let Err(error) = read {
                assert!(matches!(error, StoreError::Damaged { .. }), "page at {page}: {error}");
                assert!(error.to_string().contains("ledger.redb is damaged"), "page at {page}: {error}");
                *found += 1;
            }
        }
    }
    assert!(found.iter().all(|damaged| *damaged > 0), "{found:?}");
}

#[test]
fn the_newest_checkpoint_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    assert_eq!(store.latest_checkpoint().unwrap(), None);
    for position in [5, 9] {
        store.checkpoint(&Checkpoint { position, state: vec![position as u8] }).unwrap();
    }
    drop(store);
    assert_eq!(open(folder.path()).latest_checkpoint().unwrap(), Some(Checkpoint { position: 9, state: vec![9] }));
}

#[test]
fn a_folder_belongs_to_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder.path().join("made/for/it"));
    let error = refused(&folder.path().join("made/for/it"));
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("made/for/it") && error.to_string().contains("--data-dir"), "{error}");
    drop(first);
    open(&folder.path().join("made/for/it"));
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refused(&file.join("data"));
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("file/data") && error.to_string().contains("--data-dir"), "{error}");
}

#[test]
fn a_file_that_is_no_ledger_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let text = "not a ledger ".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("ledger.redb"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_newer_form_is_refused_and_left_as_it_is() {
    const META: redb::TableDefinition<&str, u16> = redb::TableDefinition::new("meta");
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = redb::Database::open(folder.path().join("ledger.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("form", 9).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let error = refused(folder.path());
        assert!(matches!(error, StoreError::Newer { found: 9, .. }), "{error}");
    }
}

/// The `n`th request, `hours` after the beginning.
fn body(hours: u64, n: u16) -> Trace {
    let at_ms = BEGIN_MS + hours * HOUR_MS;
    Trace { id: recorded::id_at(at_ms, n), at_ms, ..trace(u64::from(n)) }
}

fn keep(store: &mut RedbStore, bodies: &[Trace]) -> Result<(), StoreError> {
    bodies.iter().try_for_each(|body| store.stage(body))?;
    store.keep()
}

#[test]
fn bodies_are_found_by_id_and_listed_newest_first_across_segments() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let bodies: Vec<Trace> = [0, 0, 5, 6, 13, 30].into_iter().zip(0..).map(|(hours, n)| body(hours, n)).collect();
    keep(&mut store, &bodies[..4]).unwrap();
    keep(&mut store, &bodies[4..]).unwrap();
    store.flush().unwrap();
    let reader = store.reader();
    for body in &bodies {
        assert_eq!(reader.trace(body.id).unwrap().as_ref(), Some(body));
    }
    assert_eq!(reader.trace(id(77)).unwrap(), None);
    assert_eq!(reader.trace(uuid::Uuid::nil()).unwrap(), None);

    let mut newest_first = bodies.clone();
    newest_first.reverse();
    assert_eq!(reader.newest(None, 100).unwrap().traces, newest_first);
    assert_eq!(reader.newest(None, 2).unwrap().traces, newest_first[..2]);
    assert_eq!(reader.newest(Some(newest_first[1].id), 3).unwrap().traces, newest_first[2..5]);
    assert_eq!(reader.newest(Some(bodies[0].id), 3).unwrap().traces, []);
}

#[test]
fn a_damaged_segment_hides_no_other_and_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let bodies = [body(0, 0), body(6, 1), body(12, 2)];
    keep(&mut store, &bodies).unwrap();
    store.flush().unwrap();
    drop(store);
    let path = folder.path().join("traces-20261123T12.redb");
    let whole = fs::read(&path).unwrap();
    let overwritten = |range: std::ops::Range<usize>| {
        let mut bytes = whole.clone();
        bytes[range].fill(0xA5);
        bytes
    };
    let beyond_its_head = overwritten(4096..whole.len());
    for damaged in [b"no database".repeat(99), beyond_its_head, whole[..whole.len() / 2].to_vec()] {
        fs::write(&path, &damaged).unwrap();
        let mut store = open(folder.path());
        let reader = store.reader();
        let page = reader.newest(None, 10).unwrap();
        assert_eq!(page.traces, [bodies[1].clone(), bodies[0].clone()]);
        let [unreadable] = &page.unreadable[..] else { panic!("{:?}", page.unreadable) };
        assert_eq!(unreadable.file, "traces-20261123T12.redb");
        assert!(unreadable.error.to_string().contains("move it away"), "{}", unreadable.error);
        assert!(reader.trace(bodies[2].id).is_err(), "it is not said to be unknown");
        assert_eq!(reader.trace(bodies[1].id).unwrap().as_ref(), Some(&bodies[1]));
        assert_eq!(reader.newest(Some(bodies[1].id), 10).unwrap().unreadable.len(), 0, "it is of another time");
        assert!(keep(&mut store, &[body(13, 3)]).is_err(), "what belongs there is refused, and counted by the learner");
        assert_eq!(fs::read(&path).unwrap(), damaged);

        fs::rename(&path, folder.path().join("away")).unwrap();
        keep(&mut store, &[body(13, 3)]).unwrap();
        assert_eq!(reader.newest(None, 1).unwrap().traces, [body(13, 3)], "moved away, it is begun anew");
        drop((store, reader));
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn whichever_page_of_a_segment_is_damaged_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let older = body(0, 0);
    let many: Vec<Trace> = (1..200).map(|n| body(6, n)).collect();
    keep(&mut store, &[std::slice::from_ref(&older), &many[..]].concat()).unwrap();
    store.flush().unwrap();
    drop(store);
    let path = folder.path().join("traces-20261123T06.redb");
    let whole = fs::read(&path).unwrap();
    for page in (0..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        damaged[page..page + 4096].fill(0xA5);
        fs::write(&path, damaged).unwrap();
        let found = open(folder.path()).reader().newest(None, 500).unwrap();
        assert_eq!(found.traces.last(), Some(&older), "page at {page}");
        assert_eq!(found.traces.len() == 200, found.unreadable.is_empty(), "what is missing is said: page at {page}");
    }
}

#[test]
fn flushed_bodies_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    keep(&mut store, &[body(0, 1)]).unwrap();
    store.flush().unwrap();
    drop(store);
    assert_eq!(open(folder.path()).reader().newest(None, 10).unwrap().traces, [body(0, 1)]);
}

#[test]
fn bodies_older_than_retention_go_with_their_segment() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(folder.path(), Retention { days: 2, bytes: u64::MAX }).unwrap();
    for hours in [0, 20, 48, 54, 60] {
        keep(&mut store, &[body(hours, 0)]).unwrap();
        store.flush().unwrap();
    }
    assert_eq!(store.reader().newest(None, 10).unwrap().traces, [60, 54, 48, 20].map(|hours| body(hours, 0)));
    assert!(!folder.path().join("traces-20261123T00.redb").exists());
    assert_eq!(store.dropped_segments(), 1);
}

/// Keeps a body of each hour in turn, with a flush after each.
fn keep_hourly(store: &mut RedbStore, hours: impl IntoIterator<Item = u64>) {
    for hours in hours {
        keep(store, &[body(hours, 0)]).unwrap();
        store.flush().unwrap();
    }
}

#[test]
fn a_clock_that_is_wrong_once_drops_nothing_then_or_afterwards() {
    for ahead in [20 * 24, 29 * 24, 400 * 24 + 5, 20_000 * 24] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RedbStore::open(folder.path(), Retention { days: 10, bytes: u64::MAX }).unwrap();
        keep_hourly(&mut store, [0, 6, 12]);
        // Also where six hours end meanwhile.
        keep_hourly(&mut store, [12 + ahead, 13 + ahead]);
        keep_hourly(&mut store, [13, 14, 18]);
        drop(store);
        let mut store = RedbStore::open(folder.path(), Retention { days: 10, bytes: u64::MAX }).unwrap();
        keep_hourly(&mut store, [19]);
        let kept = store.reader().newest(None, 10).unwrap().traces;
        let hours = [13 + ahead, 12 + ahead, 19, 18, 14, 13, 12, 6, 0];
        assert_eq!(kept, hours.map(|hours| body(hours, 0)));
        assert_eq!(store.dropped_segments(), 0);
    }
}

#[test]
fn a_gateway_of_an_hour_ago_loses_nothing_to_a_wrong_clock_either() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(folder.path(), Retention { days: 10, bytes: u64::MAX }).unwrap();
    keep_hourly(&mut store, [0, 9_600, 1]);
    assert_eq!(store.reader().newest(None, 10).unwrap().traces, [9_600, 1, 0].map(|hours| body(hours, 0)));
}

#[test]
fn a_clock_that_was_set_right_for_good_is_believed_from_the_third_segment_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(folder.path(), Retention { days: 10, bytes: u64::MAX }).unwrap();
    let later = 400 * 24;
    keep_hourly(&mut store, [0, 6, 12, later, later + 6]);
    assert_eq!(store.reader().newest(None, 10).unwrap().traces.len(), 5);
    keep_hourly(&mut store, [later + 12]);
    let kept = [12, 6, 0].map(|hours| body(later + hours, 0));
    assert_eq!(store.reader().newest(None, 10).unwrap().traces, kept);
    assert_eq!(store.dropped_segments(), 3);
}

#[test]
fn the_bound_on_bytes_drops_the_oldest_segments_but_never_the_one_that_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(folder.path(), Retention { days: 30, bytes: 1 }).unwrap();
    for hours in [0, 6, 12] {
        keep(&mut store, &[body(hours, 0)]).unwrap();
        store.flush().unwrap();
        assert!(matches!(keep(&mut store, &[body(hours, 1)]), Err(StoreError::Full { .. })));
    }
    assert_eq!(store.reader().newest(None, 10).unwrap().traces, [body(12, 0)]);
}

#[test]
fn a_segment_that_cannot_be_removed_keeps_no_new_bodies_out() {
    let folder = tempfile::tempdir().unwrap();
    // Not a file, and so not to be removed as one.
    fs::create_dir(folder.path().join("traces-20260101T00.redb")).unwrap();
    let mut store = RedbStore::open(folder.path(), Retention { days: 1, bytes: u64::MAX }).unwrap();
    keep_hourly(&mut store, [0, 6, 48, 54, 60]);
    assert_eq!(store.reader().newest(None, 3).unwrap().traces, [60, 54, 48].map(|hours| body(hours, 0)));
    assert!(!folder.path().join("traces-20261123T06.redb").exists(), "what else is too old is dropped");
}
