//! Two cheap models are asked before a dear one: where their final answers agree, theirs is given.

use std::sync::OnceLock;

use tokio::time::Instant;

use super::recording::Recording;
use crate::api::chat::ChatRequest;
use crate::catalog::{Model, Usage};
use crate::final_answer::FinalAnswer;
use crate::policy::Verdict;
use crate::upstream::{Attempt, Deadlines, Dispatched, Exhausted, Limits, Reply, Text, Upstreams, WholeReply};

/// A panel may take this share of the time that its request, and a first byte, may take: whoever is asked after it needs the
/// rest, and a client that waits for a whole answer waits for both.
const SHARE_OF_TIME: u32 = 4;

/// A member of a panel, and what came of asking it.
#[derive(Debug)]
pub(super) struct Seat {
    /// Index into the plan's targets.
    pub(super) target: usize,
    heard: OnceLock<Opinion>,
    /// What was done for a client that left meanwhile.
    abandoned: OnceLock<Vec<Attempt>>,
}

#[derive(Debug)]
struct Opinion {
    attempts: Vec<Attempt>,
    reply: Option<WholeReply>,
    /// `None` where there is nothing to compare.
    answer: Option<FinalAnswer>,
}

impl Seat {
    pub(super) fn new(target: usize) -> Self {
        Self { target, heard: OnceLock::new(), abandoned: OnceLock::new() }
    }

    /// Asks the member, which `model` is, once.
    async fn ask(&self, upstreams: &Upstreams, model: &Model, request: &ChatRequest, limits: (&Limits, Instant)) {
        let opinion = match upstreams.dispatch_telling(&[model], request, limits, &self.abandoned).await {
            Ok(Dispatched { attempts, reply: Reply::Whole(reply), .. }) => {
                Opinion { attempts, answer: comparable(&reply.text), reply: Some(reply) }
            }
            // A whole answer was asked for.
            Ok(Dispatched { attempts, reply: Reply::Stream(_), .. }) | Err(Exhausted { attempts, .. }) => {
                Opinion { attempts, answer: None, reply: None }
            }
        };
        // It is asked once.
        let _ = self.heard.set(opinion);
    }

    /// The calls that were made, by the plan's targets.
    pub(super) fn take_attempts(&mut self) -> Vec<Attempt> {
        let heard = self.heard.get_mut().map(|opinion| std::mem::take(&mut opinion.attempts));
        let attempts = heard.or_else(|| self.abandoned.take()).unwrap_or_default();
        attempts.into_iter().map(|attempt| Attempt { target: self.target, ..attempt }).collect()
    }

    /// The answer, to be given to the client.
    pub(super) fn take_reply(&mut self) -> Option<WholeReply> {
        self.heard.get_mut()?.reply.take()
    }

    /// What an answer that no client sees used; the inner `None`: nobody knows.
    pub(super) fn used(&self) -> Option<Option<Usage>> {
        Some(self.heard.get()?.reply.as_ref()?.usage)
    }

    fn answer(&self) -> Option<&FinalAnswer> {
        self.heard.get()?.answer.as_ref()
    }

    fn answered(&self) -> bool {
        self.heard.get().is_some_and(|opinion| opinion.reply.is_some())
    }
}

/// Asks the panel, if there is one, and then, unless it agrees, the plan's targets. An answer of a member's is better than
/// none.
///
/// # Errors
/// Nobody answered.
pub(super) async fn dispatch(
    recording: &mut Recording,
    request: &ChatRequest,
    (limits, since): (&Limits, Instant),
) -> Result<Dispatched, Exhausted> {
    if let Some(seats) = recording.seats() {
        // Boxed: most requests have no panel, and no use for the room that two calls take.
        Box::pin(consult(seats, recording, request, (limits, since))).await;
    }
    if let Some((target, reply)) = recording.agreed() {
        return Ok(Dispatched { target, attempts: vec![], reply: Reply::Whole(reply) });
    }
    let (upstreams, abandoned) = (&recording.setup().upstreams, recording.abandoned());
    let dispatched = upstreams.dispatch_telling(&recording.models(), request, (limits, since), abandoned).await;
    dispatched.or_else(|exhausted| match recording.spare() {
        Some((target, reply)) => Ok(Dispatched { target, attempts: exhausted.attempts, reply: Reply::Whole(reply) }),
        None => Err(exhausted),
    })
}

/// Asks both members at once.
async fn consult(seats: &[Seat; 2], recording: &Recording, request: &ChatRequest, (limits, since): (&Limits, Instant)) {
    let (upstreams, models) = (&recording.setup().upstreams, recording.models());
    let limits = Limits { attempts: 1, planned: 1, hedge: None, ..Limits::new(hurried(limits.deadlines), 1) };
    let [one, other] = seats.each_ref().map(|seat| seat.ask(upstreams, models[seat.target], request, (&limits, since)));
    tokio::join!(one, other);
}

/// The verdict of two members before anybody else is asked; [`Verdict::None`] where one of them did not answer.
pub(super) fn verdict([one, other]: &[Seat; 2]) -> Verdict {
    match (one.answer(), other.answer()) {
        (Some(one), Some(other)) if one == other => Verdict::Agreed,
        (Some(_), Some(_)) => Verdict::Differed([false; 2]),
        _ if one.answered() && other.answered() => Verdict::Incomparable,
        _ => Verdict::None,
    }
}

/// Which of the members said what `text` says.
pub(super) fn like(seats: &[Seat; 2], text: &Text) -> [bool; 2] {
    let last = comparable(text);
    seats.each_ref().map(|seat| last.is_some() && seat.answer() == last.as_ref())
}

/// The final answer of an answer that has all that it was to have.
fn comparable(text: &Text) -> Option<FinalAnswer> {
    let is_whole = text.finish_reason.as_deref().is_none_or(|reason| reason == "stop");
    (is_whole && !text.refusal && !text.tool_calls).then(|| FinalAnswer::of(&text.content)).flatten()
}

fn hurried(deadlines: Deadlines) -> Deadlines {
    let share = deadlines.total.min(deadlines.first_byte) / SHARE_OF_TIME;
    Deadlines { first_byte: share, total: share, ..deadlines }
}
