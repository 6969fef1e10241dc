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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context as Waker, Poll, Waker as Wakers};

    use bytes::Bytes;

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

    #[test]
    fn who_finds_no_room_or_no_thread_is_told_at_once_and_who_left_is_skipped() {
        let bundle = Bundle::embedded().unwrap();
        let (jobs, waiting) = sync_channel(ROOM);
        let assessor = Assessor { jobs };
        let mut now = Waker::from_waker(Wakers::noop());
        let mut queue: Vec<_> = (0..ROOM).map(|_| Box::pin(assessor.assess(draft(&bundle)))).collect();
        assert!(queue.iter_mut().all(|one| one.as_mut().poll(&mut now).is_pending()));
        let refused = pin!(assessor.assess(draft(&bundle))).poll(&mut now);
        assert_eq!(refused, Poll::Ready(Err(DifficultyError::Busy(ROOM))));
        let stayed = queue.split_off(ROOM - 1).remove(0);
        drop(queue);
        let open = waiting.iter().take(ROOM).filter(|job| !job.answer.is_closed()).count();
        assert_eq!(open, 1, "the others have left");
        drop(waiting);
        let told = pin!(stayed).poll(&mut now);
        assert!(matches!(told, Poll::Ready(Err(DifficultyError::Run(_)))), "{told:?}");
        let gone = pin!(assessor.assess(draft(&bundle))).poll(&mut now);
        assert!(matches!(gone, Poll::Ready(Err(DifficultyError::Run(_)))), "{gone:?}");
    }
}
