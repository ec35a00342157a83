//! The kernels themselves, without workers around them: for what is done fastest where its input is.

use crate::dispatch::{TaskResult, TaskSpec};
use sgdt_proto::task::{ErrorCode, TaskError};
use sgdt_worker::{cores::Cores, kernel::Kinds, machine};
use std::{fmt, num::NonZeroU32, sync::Arc};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

pub use sgdt_worker::{
    cancel::Cancel,
    kernel::{
        factorial::written::{DECIMAL_MEMORY, Factored, Form},
        sort::within,
    },
};

/// The built-in kinds, computed by threads of this process: as many at a time as it has cores. Clones share them.
#[derive(Clone)]
pub struct LocalKernels {
    kinds: Kinds,
    threads: u32,
    free: Arc<Semaphore>,
    cores: Arc<Cores>,
}

impl LocalKernels {
    /// With as many threads as this process may use cores.
    pub fn new() -> Self {
        Self::with_threads(NonZeroU32::new(machine::cores()).unwrap_or(NonZeroU32::MIN))
    }

    /// With that many threads, each of which may use its share of the memory.
    pub fn with_threads(threads: NonZeroU32) -> Self {
        let free = Arc::new(Semaphore::new(threads.get() as usize));
        let kinds = Kinds::builtin().memory_limit(machine::memory() / u64::from(threads.get()));
        Self { kinds, threads: threads.get(), free, cores: Cores::new(threads.get()) }
    }

    /// How many tasks run at a time.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Computes a task. Dropping the future cancels it.
    pub async fn run(&self, TaskSpec { kind, payload, timeout, check }: TaskSpec) -> TaskResult {
        // It is never closed; were it, the task would run all the same.
        let permit = self.free.clone().acquire_owned().await;
        let cancel = CancelOnDrop(Cancel::new().helped_by(&self.cores));
        let (kinds, name, started) = (self.kinds.clone(), kind.clone(), cancel.0.clone().started(timeout));
        let core = self.cores.occupy();
        let begun = Instant::now();
        let output = spawn_blocking(move || {
            let output = kinds.run(&name, payload, &started).and_then(|output| {
                let wrong =
                    |reason| TaskError::new(ErrorCode::Panicked, format!("the answer is wrong: {reason}"));
                let verdict = check.map_or(Ok(()), |check| check.judge(output.clone()));
                verdict.map(|()| output).map_err(wrong)
            });
            drop((permit, core));
            output
        });
        let output =
            output.await.unwrap_or_else(|error| Err(TaskError::new(ErrorCode::Panicked, error.to_string())));
        TaskResult { kind, worker: None, attempts: 1, run: begun.elapsed(), output }
    }
}

impl LocalKernels {
    /// Does something on a thread of its own, with the help of those that are idle.
    pub fn start<T: Send + 'static>(&self, work: impl FnOnce(&Cancel) -> T + Send + 'static) -> Work<T> {
        let (cancel, core) = (Cancel::new().helped_by(&self.cores), self.cores.occupy());
        let told = cancel.clone();
        let done = spawn_blocking(move || {
            let done = work(&told);
            drop(core);
            done
        });
        Work { done, cancel: CancelOnDrop(cancel) }
    }
}

/// Something under way. Dropping it cancels it.
#[derive(Debug)]
pub struct Work<T> {
    done: JoinHandle<T>,
    cancel: CancelOnDrop,
}

impl<T> Work<T> {
    /// Asks it to stop.
    pub fn stop(&self) {
        self.cancel.0.cancel();
    }

    /// Waits for its end. May be called again when it was not waited for to the end.
    ///
    /// # Errors
    /// It panicked.
    pub async fn done(&mut self) -> Result<T, TaskError> {
        (&mut self.done).await.map_err(|error| TaskError::new(ErrorCode::Panicked, error.to_string()))
    }
}

impl Default for LocalKernels {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKernels({} threads)", self.threads)
    }
}

#[derive(Debug)]
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{kind::factorial, payload::Payload};
    use std::time::Duration;

    fn factorial(n: u64) -> TaskSpec {
        let kind = factorial::KIND.parse().unwrap();
        TaskSpec::packed(kind, &factorial::Input { n, summary: false }).unwrap()
    }

    #[tokio::test]
    async fn a_task_runs_here_as_it_does_on_a_worker() {
        let kernels = LocalKernels::new();
        let output = kernels.run(factorial(20)).await.output.and_then(Payload::decode::<factorial::Output>);
        assert_eq!(output.unwrap().decimal.unwrap().as_bytes(), b"2432902008176640000");
        let late = TaskSpec { timeout: Some(Duration::from_micros(1)), ..factorial(1_000_000) };
        assert_eq!(kernels.run(late).await.output.unwrap_err().code, ErrorCode::Timeout);
    }

    #[tokio::test]
    async fn a_task_that_nobody_waits_for_makes_room() {
        let kernels = LocalKernels::with_threads(NonZeroU32::MIN);
        // It would take many seconds.
        let long = kernels.run(factorial(20_000_000));
        assert!(tokio::time::timeout(Duration::from_millis(20), long).await.is_err());
        assert!(kernels.run(factorial(5)).await.output.is_ok());
    }
}
