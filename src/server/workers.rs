//! The threads that serve connections: one per core, each with a runtime of its own.
//!
//! A connection stays with the thread that it was given to, and so does the upstream connection that answers it: a
//! request wakes no other thread, which would cost more than all that the gateway does for it. Few connections share one
//! thread: on cores that they share with clients and upstreams, two threads are put off two to three times as often as one,
//! and a request takes a fifth more.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Connections that a thread is given before the next one gets any: so few wait for models nearly all of the time.
const FEW: usize = 32;

/// Threads that serve. Dropping it ends them; what they still do is dropped with them.
#[derive(Debug)]
pub struct Workers {
    /// At least one.
    places: Vec<Place>,
}

/// Where connections are served.
#[derive(Debug)]
struct Place {
    runtime: Handle,
    /// Held by each of them.
    taken: Arc<()>,
    /// `None`: the one that it was made in.
    _thread: Option<Worker>,
}

/// A thread and the word that ends it.
#[derive(Debug)]
struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// One thread per core, with as many file descriptors among them as the system gives: each connection takes one.
    ///
    /// # Errors
    /// The system gives no thread, or no file descriptors for its runtime.
    pub fn start() -> io::Result<Self> {
        raise_descriptors();
        let mut workers = Self { places: Vec::new() };
        for _ in 0..thread::available_parallelism()?.get() {
            workers.add()?;
        }
        Ok(workers)
    }

    /// No thread: the runtime that this is called in serves.
    pub fn here() -> Self {
        Self { places: vec![Place::new(Handle::current(), None)] }
    }

    fn add(&mut self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name("serve".into()).spawn(move || {
            // The sender tells it, or is gone.
            let _ = runtime.block_on(stopped);
        })?;
        self.places.push(Place::new(handle, Some(Worker { stop: Some(stop), thread: Some(thread) })));
        Ok(())
    }

    /// Threads that serve, at least one.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Serves one more of `connections`.
    pub(super) fn spawn(&self, connections: &mut JoinSet<()>, connection: impl Future<Output = ()> + Send + 'static) {
        let Place { runtime, taken, .. } = &self.places[least(self.places.iter().map(Place::connections))];
        let seat = taken.clone();
        let served = async move {
            connection.await;
            drop(seat);
        };
        connections.spawn_on(served, runtime);
    }
}

impl Place {
    fn new(runtime: Handle, thread: Option<Worker>) -> Self {
        Self { runtime, taken: Arc::default(), _thread: thread }
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.taken) - 1
    }
}

/// Which of the threads with so many connections each gets the next one: the first that has fewer than [`FEW`], else the
/// one that has the fewest.
fn least(connections: impl Iterator<Item = usize>) -> usize {
    let least = connections.enumerate().min_by_key(|(_, connections)| (*connections).max(FEW - 1));
    least.map_or(0, |(thread, _)| thread)
}

/// Takes what the hard limit allows; the soft one, often 1,024, is there for programs that know no more.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "no more file descriptors");
    }
}

/// File descriptors that the process may hold; `None`: as many as it likes.
pub(super) fn descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a serving thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    #[tokio::test]
    async fn the_next_thread_gets_connections_once_those_before_it_have_a_good_many() {
        let mut workers = Workers { places: Vec::new() };
        (0..2).for_each(|_| workers.add().unwrap());
        let mut connections = JoinSet::new();
        let served = |workers: &Workers| workers.places.iter().map(Place::connections).collect::<Vec<_>>();
        for expected in [FEW, FEW + 1].map(|all| [FEW, all - FEW]) {
            while served(&workers).iter().sum::<usize>() < expected.iter().sum() {
                workers.spawn(&mut connections, std::future::pending());
            }
            assert_eq!(served(&workers), expected);
        }
        connections.shutdown().await;
        assert_eq!(served(&workers), [0, 0], "one that ends leaves its place to another");
    }

    #[test]
    fn beyond_that_the_thread_with_the_fewest_gets_the_next() {
        let next = |connections: &[usize]| least(connections.iter().copied());
        assert_eq!([next(&[0, 0]), next(&[FEW - 1, 0]), next(&[9, FEW])], [0; 3]);
        assert_eq!([next(&[FEW, 0]), next(&[FEW, FEW - 1]), next(&[FEW + 9, FEW + 2, FEW + 3])], [1; 3]);
    }

    #[test]
    fn workers_may_open_as_many_files_as_the_system_allows() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let lower = Rlimit { current: maximum.map(|maximum| maximum - 1), maximum };
        setrlimit(Resource::Nofile, lower).unwrap();
        let _workers = Workers::start().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
