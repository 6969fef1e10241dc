//! The threads that serve connections: one per core, each with a runtime of its own.
//!
//! A connection stays with the thread that it was given to, and so does the upstream connection that answers it: a
//! request wakes no other thread, which would cost more than all that the gateway does for it.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads that serve. Dropping it ends them; what they still do is dropped with them.
#[derive(Debug)]
pub struct Workers {
    /// At least one.
    handles: Vec<Handle>,
    threads: Vec<Worker>,
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
        let mut workers = Self { handles: Vec::new(), threads: Vec::new() };
        for _ in 0..thread::available_parallelism()?.get() {
            workers.add()?;
        }
        Ok(workers)
    }

    /// No thread: the runtime that this is called in serves.
    pub fn here() -> Self {
        Self { handles: vec![Handle::current()], threads: Vec::new() }
    }

    fn add(&mut self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        self.handles.push(runtime.handle().clone());
        let thread = thread::Builder::new().name("serve".into()).spawn(move || {
            // The sender tells it, or is gone.
            let _ = runtime.block_on(stopped);
        })?;
        self.threads.push(Worker { stop: Some(stop), thread: Some(thread) });
        Ok(())
    }

    /// Threads that serve, at least one.
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// The one with the least to do.
    pub(super) fn next(&self) -> &Handle {
        let idlest = self.handles.iter().min_by_key(|handle| handle.metrics().num_alive_tasks());
        idlest.unwrap_or(&self.handles[0])
    }
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

    #[test]
    fn workers_may_open_as_many_files_as_the_system_allows() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let lower = Rlimit { current: maximum.map(|maximum| maximum - 1), maximum };
        setrlimit(Resource::Nofile, lower).unwrap();
        let _workers = Workers::start().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
