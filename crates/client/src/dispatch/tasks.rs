//! The tasks that are not finished, by their numbers.
//!
//! Numbers are given in order and most tasks end about in order, so those that are there are close together: each
//! has the place that its number has in a ring, beside its neighbours, and nothing is hashed. A task that is still
//! there when the ring has come round once more moves to a map.

use super::task::Task;
use rustc_hash::FxHashMap;
use sgdt_proto::id::TaskId;

/// How small the ring is at first.
const PLACES: usize = 64;

pub(super) struct Tasks<X> {
    /// As many places as a power of two.
    ring: Vec<Option<(TaskId, Task<X>)>>,
    /// Those whose place a later one has taken.
    late: FxHashMap<TaskId, Task<X>>,
    len: usize,
}

impl<X> Tasks<X> {
    pub(super) fn new() -> Self {
        Self { ring: Vec::new(), late: FxHashMap::default(), len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&self, id: TaskId) -> usize {
        id.0 as usize & self.ring.len().wrapping_sub(1)
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<&Task<X>> {
        match self.ring.get(self.place(*id)) {
            Some(Some((here, task))) if here == id => Some(task),
            _ if self.late.is_empty() => None,
            _ => self.late.get(id),
        }
    }

    pub(super) fn get_mut(&mut self, id: &TaskId) -> Option<&mut Task<X>> {
        let place = self.place(*id);
        match self.ring.get_mut(place) {
            Some(Some((here, task))) if here == id => Some(task),
            _ if self.late.is_empty() => None,
            _ => self.late.get_mut(id),
        }
    }

    pub(super) fn contains_key(&self, id: &TaskId) -> bool {
        self.get(id).is_some()
    }

    /// Adds a task, under a number that none has had.
    pub(super) fn insert(&mut self, id: TaskId, task: Task<X>) {
        self.len += 1;
        if self.len * 4 > self.ring.len() * 3 {
            self.grow();
        }
        let place = self.place(id);
        if let Some((late, task)) = self.ring[place].replace((id, task)) {
            self.late.insert(late, task);
        }
    }

    fn grow(&mut self) {
        let places = (self.ring.len() * 2).max(PLACES);
        let grown = (0..places).map(|_| None).collect();
        for (id, task) in std::mem::replace(&mut self.ring, grown).into_iter().flatten() {
            // Two of the old ring had different places, and have them in one twice as large.
            let place = self.place(id);
            self.ring[place] = Some((id, task));
        }
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Task<X>> {
        let place = self.place(*id);
        let removed = match self.ring.get_mut(place)?.take_if(|(here, _)| here == id) {
            Some((_, task)) => Some(task),
            None if self.late.is_empty() => None,
            None => self.late.remove(id),
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TaskId, &Task<X>)> {
        self.ring.iter().flatten().map(|(id, task)| (id, task)).chain(&self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::payload::{Format, Payload};
    use std::collections::BTreeMap;

    fn task(mark: u64) -> Task<u64> {
        let payload = Payload { format: Format::Json, head: Vec::new().into(), buffers: Vec::new() };
        Task::new(mark, 0, payload, None)
    }

    #[test]
    fn it_is_a_map_whatever_stays_behind() {
        let (mut tasks, mut model) = (Tasks::new(), BTreeMap::new());
        for id in 1..20_000u64 {
            tasks.insert(TaskId(id), task(id));
            model.insert(TaskId(id), id);
            // Most end a little later, every 997th much later, and some never.
            for end in [id.wrapping_sub(100), id.wrapping_sub(9_970)] {
                let stays = end % 997 == 0 && end.wrapping_add(9_970) != id || end % 4_985 == 0;
                if !stays {
                    let removed = tasks.remove(&TaskId(end)).map(|task| task.ticket);
                    assert_eq!(removed, model.remove(&TaskId(end)));
                }
            }
            assert_eq!(tasks.len, model.len());
        }
        assert!(tasks.ring.len() <= 512, "{} places for about 120 tasks", tasks.ring.len());
        let all: BTreeMap<_, _> = tasks.iter().map(|(&id, task)| (id, task.ticket)).collect();
        assert_eq!(all, model);
        for id in 0..20_001 {
            let id = TaskId(id);
            assert_eq!(tasks.get(&id).map(|task| task.ticket), model.get(&id).copied());
            assert_eq!(tasks.get_mut(&id).is_some(), tasks.contains_key(&id));
        }
        model.keys().for_each(|id| assert!(tasks.remove(id).is_some()));
        assert!(tasks.is_empty() && tasks.remove(&TaskId(3)).is_none());
    }
}
