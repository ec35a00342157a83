//! Who is at the desk.

use sgdt_proto::net::origin;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Strangers beyond this many at a time are turned away,
const PLACES: usize = 32;
/// and those beyond this many from one address, so that it does not keep everybody else out.
const FROM_ONE: usize = 8;

/// How many come from where. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// A place, unless there is none for somebody from there. It is free again when it is dropped.
    pub(crate) fn take(&self, from: IpAddr) -> Option<Place> {
        let from = origin(from);
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= PLACES || taken.get(&from).is_some_and(|count| *count >= FROM_ONE)
        {
            return None;
        }
        *taken.entry(from).or_default() += 1;
        Some(Place { places: self.clone(), from })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is here.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_all_have_theirs_until_they_leave() {
        let places = Places::default();
        let come =
            |last: u8| (0..100).map_while(|_| places.take([192, 0, 2, last].into())).collect::<Vec<_>>();
        let first = come(1);
        assert_eq!(first.len(), FROM_ONE);
        let others: Vec<_> = (2..).map(come).take_while(|came| !came.is_empty()).collect();
        assert_eq!(others.iter().map(Vec::len).sum::<usize>(), PLACES - FROM_ONE);
        drop(first);
        assert_eq!(come(9).len(), FROM_ONE);
        drop(others);
        assert!(places.lock().is_empty());
    }
}
