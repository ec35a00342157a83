//! How much a client has under way: a bound on tasks, and on the bytes of their inputs.

use super::task::TaskSpec;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All inputs together have no more bytes than this; a bigger one is under way by itself.
const BUDGET: u64 = 256 << 20;
/// How many tasks there is room for beside what the workers' windows hold at most. Together with two workers of one
/// slot that is no more than the processor's caches hold: twenty times as many made each cost twice as much.
const BESIDE: u32 = 1024;
/// The most tasks there is room for, however many workers there are.
const MOST: u32 = 64 * 1024;
/// And the least: that of two workers of one slot.
const LEAST: u32 = 3 * 1024;

/// The room for unfinished tasks. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    size: Arc<AtomicU32>,
}

/// The room that a task takes up, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Default for Room {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(LEAST as usize)), size: Arc::new(AtomicU32::new(LEAST)) }
    }
}

impl Room {
    /// Makes as much room as suits workers whose windows hold so many tasks. Room that was made stays.
    pub(super) fn suit(&self, windows: u64) {
        let wanted = windows.saturating_add(BESIDE.into()).clamp(LEAST.into(), MOST.into()) as u32;
        let before = self.size.fetch_max(wanted, Ordering::Relaxed);
        self.free.add_permits(wanted.saturating_sub(before) as usize);
    }

    /// What this task needs: one unit of room, and of the rest the share that its input has of the budget. One that is
    /// larger than the budget takes all the room.
    fn units(&self, spec: &TaskSpec) -> u32 {
        let size = self.size.load(Ordering::Relaxed);
        let share = (spec.payload.size() as u64).saturating_mul(size.into()) / BUDGET;
        u32::try_from(1 + share).unwrap_or(size).min(size)
    }

    /// Takes room for a task, if there is as much.
    pub(crate) fn try_take(&self, spec: &TaskSpec) -> Option<Place> {
        self.free.clone().try_acquire_many_owned(self.units(spec)).ok().map(Place)
    }

    /// Takes room for a task when there is as much. `None`, when there will be none.
    pub(crate) async fn take(&self, spec: &TaskSpec) -> Option<Place> {
        self.free.clone().acquire_many_owned(self.units(spec)).await.ok().map(Place)
    }

    /// How many units are taken.
    pub(crate) fn taken(&self) -> usize {
        (self.size.load(Ordering::Relaxed) as usize).saturating_sub(self.free.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{
        buffer::Buffer,
        payload::{Format, Payload},
    };

    fn spec(size: usize) -> TaskSpec {
        let payload = Payload { format: Format::Json, head: vec![b' '; size].into(), buffers: Vec::new() };
        TaskSpec { kind: "echo".parse().unwrap(), payload, timeout: None, check: None }
    }

    #[test]
    fn tasks_take_room_by_number_and_by_size_and_give_it_back() {
        let room = Room::default();
        let small: Vec<_> = std::iter::from_fn(|| room.try_take(&spec(100))).collect();
        assert_eq!((small.len(), room.taken()), (LEAST as usize, LEAST as usize));
        drop(small);
        let megabyte: Vec<_> = std::iter::from_fn(|| room.try_take(&spec(1 << 20))).collect();
        assert!((200..=256).contains(&megabyte.len()), "{} MiB are within the budget", megabyte.len());
        drop(megabyte);
        assert_eq!(room.taken(), 0);
        // Larger than all of it, whatever its length.
        let huge = Payload { buffers: vec![Buffer::from(vec![0; 1 << 20]); 300], ..spec(0).payload };
        let huge = room.try_take(&TaskSpec { payload: huge, ..spec(0) }).unwrap();
        assert!(room.try_take(&spec(1)).is_none());
        drop(huge);
    }

    #[test]
    fn room_grows_with_the_fleet_and_has_an_end() {
        let room = Room::default();
        room.suit(8000);
        room.suit(10);
        assert_eq!(room.free.available_permits(), 8000 + BESIDE as usize);
        room.suit(u64::MAX);
        assert_eq!((room.free.available_permits(), room.taken()), (MOST as usize, 0));
    }
}
