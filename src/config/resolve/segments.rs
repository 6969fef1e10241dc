//! Segments of one route: which of them a request can ever be in.

use super::unique;
use crate::config::file::{self, Segment};
use crate::config::findings::Findings;
use crate::gateway::SegmentSettings;

/// The most segments of a route: each solves for a price of its own.
const MOST: usize = 32;

pub(super) fn segments(route: &file::Route, findings: &mut Findings) -> Vec<SegmentSettings> {
    unique("segment", route.segments.iter().filter_map(|segment| segment.name.as_ref()), findings);
    for (i, segment) in route.segments.iter().enumerate() {
        note_shadowed(segment, &route.segments[..i], findings);
    }
    if let Some(beyond) = route.segments.get(MOST) {
        let text = format!("more than {MOST} segments of one route; make another route of some");
        findings.mistake(beyond.line, text);
    }
    route.segments.iter().filter_map(|segment| settled(segment, route.explore)).collect()
}

/// The first segment that matches has a request: one whose requests all match an earlier one gets none.
fn note_shadowed(segment: &Segment, earlier: &[Segment], findings: &mut Findings) {
    let Some(own) = &segment.metadata else { return };
    let takes = |other: &&Segment| other.metadata.as_ref().is_some_and(|metadata| own.contains(metadata));
    if let Some(first) = earlier.iter().find(takes) {
        let (line, remedy) = (first.line, "put it before that one, or give it other `metadata`");
        let text = format!("every request of this segment ({own}) is in the one on line {line} already; {remedy}");
        findings.mistake(segment.line, text);
    }
}

fn settled(segment: &Segment, explore: bool) -> Option<SegmentSettings> {
    Some(SegmentSettings {
        name: segment.name.as_ref()?.value.clone(),
        metadata: segment.metadata.clone()?,
        knob: segment.knob?,
        explore: segment.explore.unwrap_or(explore),
    })
}
