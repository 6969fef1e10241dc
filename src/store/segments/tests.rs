use std::ops::Range;
use std::thread;

use super::*;

const WORKED_WITH: Segment = 1;
const OTHERS: Range<Segment> = 2..8;

fn segments(folder: &tempfile::TempDir) -> Segments {
    let segments = Segments::new(folder.path().to_owned());
    for segment in [WORKED_WITH].into_iter().chain(OTHERS) {
        write(&segments, segment).unwrap();
    }
    segments
}

/// The same, and who writes them.
fn written(folder: &tempfile::TempDir) -> (Arc<Segments>, SegmentWriter) {
    let segments = Arc::new(segments(folder));
    (segments.clone(), SegmentWriter::new(segments, Retention::default()))
}

fn write(segments: &Segments, segment: Segment) -> Result<(), StoreError> {
    segments.with(segment, |database| {
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(TRACES).map_err(failed)?;
        transaction.commit().map_err(failed)
    })
}

fn read(segments: &Segments, segment: Segment) -> Result<Vec<Trace>, StoreError> {
    segments.read(segment, 0..=u128::MAX, 1)
}

/// Nobody else can open a file that is open.
fn open(segments: &Segments) -> Vec<Segment> {
    let stored = segments.stored().unwrap().into_iter();
    stored.filter(|segment| Database::open(segments.path(*segment)).is_err()).collect()
}

#[test]
fn the_files_used_last_are_open_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(&folder);
    assert_eq!(open(&segments), [5, 6, 7]);
    read(&segments, 2).unwrap();
    assert_eq!(open(&segments), [2, 6, 7]);
}

#[test]
fn a_file_that_somebody_works_with_is_open_for_others_too_however_many_came_between() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(&folder);
    let elsewhere =
        |work: &(dyn Fn() -> Result<(), StoreError> + Sync)| thread::scope(|s| s.spawn(work).join().unwrap());
    let worked = segments.with(WORKED_WITH, |_| {
        elsewhere(&|| OTHERS.into_iter().try_for_each(|segment| read(&segments, segment).map(drop)))?;
        assert_eq!(open(&segments), [WORKED_WITH, 5, 6, 7], "it stays open beside those used last");
        elsewhere(&|| read(&segments, WORKED_WITH).map(drop))?;
        elsewhere(&|| write(&segments, WORKED_WITH))
    });
    worked.unwrap();
    OTHERS.for_each(|segment| drop(read(&segments, segment).unwrap()));
    assert_eq!(open(&segments), [5, 6, 7], "and is closed once nobody needs it");
}

/// A write that finds room once this many segments are left.
fn fits_beside(segments: &Segments, left: usize) -> impl FnMut() -> Result<usize, StoreError> {
    move || match segments.stored()?.len() {
        stored if stored > left => Err(StoreError::NoRoom("the test said so".into())),
        stored => Ok(stored),
    }
}

fn kept_in(writer: &mut SegmentWriter, segment: Segment) -> Result<(), StoreError> {
    writer.keep_where_there_is_room(segment, &[(Uuid::nil(), b"a body")])
}

#[test]
fn bodies_make_room_for_the_ledger_the_oldest_first_and_those_of_the_present_last() {
    let folder = tempfile::tempdir().unwrap();
    let (segments, mut writer) = written(&folder);
    kept_in(&mut writer, 9).unwrap();
    writer.making_room(fits_beside(&segments, 6)).unwrap();
    assert_eq!(segments.stored().unwrap(), [3, 4, 5, 6, 7, 9]);
    writer.making_room(fits_beside(&segments, 1)).unwrap();
    assert_eq!(segments.stored().unwrap(), [9]);
    writer.making_room(fits_beside(&segments, 0)).unwrap();
    writer.flush().unwrap();
    assert!(segments.stored().unwrap().is_empty(), "what is gone is not begun anew for want of a flush");
    kept_in(&mut writer, 9).unwrap();
    assert_eq!(segments.stored().unwrap(), [9], "but for the next body");
    let never = writer.making_room(|| Err::<(), _>(StoreError::NoRoom("others fill the disk".into())));
    assert!(matches!(never, Err(StoreError::NoRoom(_))));
    writer.flush().unwrap();
    assert!(matches!(kept_in(&mut writer, 9), Err(StoreError::NoRoom(_))), "bodies take none of what the ledger needs");
    assert!(segments.stored().unwrap().is_empty());
    writer.making_room(|| Ok(())).unwrap();
    kept_in(&mut writer, 9).unwrap();
}

#[test]
fn what_else_fails_costs_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let (segments, mut writer) = written(&folder);
    assert!(writer.making_room(|| Err::<(), _>(StoreError::Failed("the disk".into()))).is_err());
    assert_eq!(segments.stored().unwrap().len(), 7);
}

#[test]
fn a_body_takes_the_room_of_older_ones_and_never_of_its_own_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (segments, mut writer) = written(&folder);
    kept_in(&mut writer, 9).unwrap();
    while writer.make_room(false) {}
    assert_eq!(segments.stored().unwrap(), [9]);
}

#[test]
fn a_file_that_failed_is_opened_anew_once_nobody_works_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(&folder);
    let fail = || segments.with(WORKED_WITH, |_| Err::<(), _>(StoreError::Failed("the disk".into())));
    assert!(fail().is_err());
    assert!(!open(&segments).contains(&WORKED_WITH));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..50).for_each(|_| drop(read(&segments, WORKED_WITH).unwrap())));
        }
        (0..50).for_each(|_| assert!(matches!(fail(), Err(StoreError::Failed(_)))));
    });
}
