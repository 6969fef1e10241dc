//! A classifier too slow for the threads that serve: it runs on a thread of its own, behind a bounded channel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::difficulty::{Bundle, Context, DifficultyError};
use crate::features::Draft;

/// Requests that wait at most. The next one is not assessed.
const ROOM: usize = 16;
/// How long a request waits at most, for its turn and for the classifier.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// Too many wait already, it takes too long, or the classifier failed.
    pub(super) async fn assess(&self, draft: Draft) -> Result<Context, DifficultyError> {
        let gone = || DifficultyError::Run("it has no thread, or broke off".into());
        let (answer, assessed) = oneshot::channel();
        self.jobs.try_send(Job { draft, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => DifficultyError::Busy(ROOM),
            TrySendError::Disconnected(_) => gone(),
        })?;
        let in_time = timeout(PATIENCE, assessed).await.map_err(|_| DifficultyError::Late(PATIENCE))?;
        in_time.map_err(|_| gone())?
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::future::join_all;

    use super::*;
    use crate::api::chat::ChatRequest;

    fn draft(bundle: &Bundle) -> Draft {
        let body = Bytes::from_static(br#"{"model":"auto","messages":[{"role":"user","content":"What is 2 + 2?"}]}"#);
        bundle.extractor.draft(&ChatRequest::parse(&body).unwrap())
    }

    #[tokio::test]
    async fn it_assesses_as_the_calling_thread_would() {
        let bundle = Arc::new(Bundle::embedded().unwrap());
        let assessor = Assessor::start(bundle.clone());
        assert_eq!(assessor.assess(draft(&bundle)).await, bundle.assess(draft(&bundle)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_is_told_at_once_and_who_waits_too_long_leaves() {
        let bundle = Bundle::embedded().unwrap();
        let (jobs, waiting) = sync_channel(ROOM);
        let assessor = Assessor { jobs };
        let queue = join_all((0..=ROOM).map(|_| assessor.assess(draft(&bundle)))).await;
        let (refused, late) = queue.split_last().unwrap();
        assert_eq!(*refused, Err(DifficultyError::Busy(ROOM)));
        assert!(late.iter().all(|one| *one == Err(DifficultyError::Late(PATIENCE))), "{late:?}");
        let left = waiting.iter().take(ROOM).filter(|job| job.answer.is_closed()).count();
        assert_eq!(left, ROOM, "nobody waits for them any more");
    }

    #[tokio::test]
    async fn without_a_thread_nothing_is_assessed() {
        let bundle = Bundle::embedded().unwrap();
        let assessor = Assessor { jobs: sync_channel(ROOM).0 };
        let gone = assessor.assess(draft(&bundle)).await;
        assert!(matches!(gone, Err(DifficultyError::Run(_))), "{gone:?}");
    }
}
