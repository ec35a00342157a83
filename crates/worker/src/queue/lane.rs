//! What one session has waiting, in the order of its tickets.

use super::Ticket;
use std::collections::VecDeque;

/// How many empty places there may be however few items.
const EMPTY: usize = 64;

/// Items by ticket. They nearly always come in order and leave from the front, so they lie in a row.
#[derive(Debug)]
pub(super) struct Items<T> {
    /// Those that were taken out from between others have left their place empty. At both ends there are items.
    places: VecDeque<(Ticket, Option<T>)>,
    /// How many items there are.
    len: usize,
}

impl<T> Items<T> {
    pub(super) fn new() -> Self {
        Self { places: VecDeque::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn insert(&mut self, ticket: Ticket, item: T) {
        self.len += 1;
        let last = self.places.back().map(|(last, _)| *last);
        if last.is_none_or(|last| last < ticket) {
            self.places.push_back((ticket, Some(item)));
        } else {
            let place = self.places.partition_point(|(other, _)| *other < ticket);
            self.places.insert(place, (ticket, Some(item)));
        }
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.places.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        let item = self.places.get_mut(place)?.1.take()?;
        self.taken();
        // Else one that is never served could have any number of empty places behind it.
        if self.places.len() > 2 * self.len + EMPTY {
            self.places.retain(|(_, item)| item.is_some());
        }
        Some(item)
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let item = self.places.pop_front()?.1;
        self.taken();
        item
    }

    pub(super) fn pop_last(&mut self) -> Option<T> {
        let item = self.places.pop_back()?.1;
        self.taken();
        item
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|(_, item)| item)
    }

    fn taken(&mut self) {
        self.len -= 1;
        while self.places.pop_front_if(|(_, item)| item.is_none()).is_some() {}
        while self.places.pop_back_if(|(_, item)| item.is_none()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_again_and_again_from_behind_one_that_is_never_served_takes_no_room() {
        let mut items = Items::new();
        items.insert(Ticket(0), 0);
        for ticket in (1..20_000).step_by(2) {
            items.insert(Ticket(ticket), 1);
            items.insert(Ticket(ticket + 1), 2);
            assert_eq!(items.remove(Ticket(ticket)), Some(1));
            assert_eq!(items.remove(Ticket(ticket)), None);
            if ticket > 1 {
                assert_eq!(items.remove(Ticket(ticket - 1)), Some(2));
            }
        }
        assert_eq!(items.len(), 2);
        assert!(items.places.len() < 100);
    }

    #[test]
    fn late_ones_take_the_place_of_their_ticket() {
        let mut items = Items::new();
        for ticket in [5, 9, 7, 1, 8] {
            items.insert(Ticket(ticket), ticket);
        }
        assert_eq!(items.remove(Ticket(7)), Some(7));
        assert_eq!(items.pop_last(), Some(9));
        assert_eq!(std::iter::from_fn(|| items.pop_first()).collect::<Vec<_>>(), [1, 5, 8]);
        assert!(items.is_empty());
    }
}
