//! A classifier too slow for the threads that serve: it runs on a thread of its own, behind a bounded channel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use tokio::sync::oneshot;

use crate::difficulty::{Bundle, Context, DifficultyError};
use crate::features::Draft;

/// Requests that wait at most: a second or two's work. The next one is not assessed.
const ROOM: usize = 16;

/// Where requests wait. When the last clone is gone, the thread works off what waits and ends.
#[derive(Debug, Clone)]
pub(super) struct Assessor {
    jobs: SyncSender<Job>,
}

/// A request, and who waits for what is made of it.
#[derive(Debug)]
struct Job {
    draft: Draft,
    answer: oneshot::Sender<Result<Context, DifficultyError>>,
}

impl Assessor {
    /// One thread, for candle itself shares a request's products among all cores. Without a thread, nothing is assessed.
    pub(super) fn start(bundle: Arc<Bundle>) -> Self {
        let (jobs, waiting) = sync_channel(ROOM);
        let started = thread::Builder::new().name("classify".into()).spawn(move || work(&bundle, &waiting));
        if let Err(error) = started {
            tracing::error!(%error, "the classifier has no thread to run on; the safest models answer");
        }
        Self { jobs }
    }

    /// Waits for its turn and the classifier, and for nothing else.
    ///
    /// # Errors
    /// Too many wait already, or the classifier failed.
    pub(super) async fn assess(&self, draft: Draft) -> Result<Context, DifficultyError> {
        let gone = || DifficultyError::Run("it has no thread, or broke off".into());
        let (answer, assessed) = oneshot::channel();
        self.jobs.try_send(Job { draft, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => DifficultyError::Busy(ROOM),
            TrySendError::Disconnected(_) => gone(),
        })?;
        assessed.await.map_err(|_| gone())?
    }
}

fn work(bundle: &Bundle, waiting: &Receiver<Job>) {
    for Job { draft, answer } in waiting {
        if answer.is_closed() {
            continue;
        }
        // A panic is told by dropping `answer`; the next request may well be assessed.
        let assessed = catch_unwind(AssertUnwindSafe(|| bundle.assess(draft)));
        if let Ok(assessed) = assessed {
            // Nobody is there where the client has left meanwhile.
            let _ = answer.send(assessed);
        }
    }
}
