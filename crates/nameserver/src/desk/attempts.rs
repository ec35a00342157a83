//! How often strangers may try.

use sgdt_proto::net::origin;
use std::{collections::HashMap, net::IpAddr, time::Duration};

/// What is counted together.
const MINUTE: Duration = Duration::from_secs(60);
/// Attempts from one address in a minute.
pub(crate) const FROM_ONE: u32 = 10;
/// Attempts from all of them in a minute, which bounds what is remembered, too.
pub(crate) const FROM_ALL: u32 = 100;

/// The attempts of the minute that runs. Time is passed in, from any beginning.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    began: Duration,
    all: u32,
    each: HashMap<IpAddr, u32>,
}

impl Attempts {
    /// Counts an attempt. Whether it may be made.
    pub(crate) fn take(&mut self, from: IpAddr, now: Duration) -> bool {
        if now.saturating_sub(self.began) >= MINUTE {
            *self = Self { began: now, ..Self::default() };
        }
        let from = origin(from);
        if self.all >= FROM_ALL || self.each.get(&from).is_some_and(|count| *count >= FROM_ONE) {
            return false;
        }
        self.all += 1;
        *self.each.entry(from).or_default() += 1;
        true
    }

    /// Takes back an attempt of this minute: it was no guess, and whoever has many good tokens may use them all.
    pub(crate) fn forgive(&mut self, from: IpAddr) {
        if let Some(count) = self.each.get_mut(&origin(from)).filter(|count| **count > 0) {
            *count -= 1;
            self.all -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_address_has_its_share_and_gets_it_anew_each_minute() {
        let mut attempts = Attempts::default();
        let mut taken = |from, now| (0..1000).filter(|_| attempts.take(from, now)).count() as u32;
        assert_eq!(taken(v4(1), Duration::ZERO), FROM_ONE);
        assert_eq!(taken(v4(1), MINUTE - Duration::from_nanos(1)), 0);
        assert_eq!(taken(v4(2), MINUTE - Duration::from_nanos(1)), FROM_ONE);
        assert_eq!(taken(v4(1), MINUTE), FROM_ONE);
    }

    #[test]
    fn what_was_no_guess_is_not_counted() {
        let mut attempts = Attempts::default();
        for _ in 0..2 * FROM_ALL {
            assert!(attempts.take(v4(1), Duration::ZERO));
            attempts.forgive(v4(1));
        }
        // Not in the minute after, either, and never more than there were.
        assert!(attempts.take(v4(1), Duration::ZERO) && attempts.take(v4(2), MINUTE));
        attempts.forgive(v4(1));
        attempts.forgive(v4(2));
        attempts.forgive(v4(2));
        assert_eq!((attempts.all, attempts.each[&v4(2)]), (0, 0));
    }

    #[test]
    fn all_of_them_together_have_no_more_than_theirs() {
        let mut attempts = Attempts::default();
        let taken =
            (0..=255).cycle().take(10_000).filter(|last| attempts.take(v4(*last), Duration::ZERO)).count();
        assert_eq!(taken as u32, FROM_ALL);
        assert!(attempts.each.len() as u32 <= FROM_ALL);
    }

    #[test]
    fn whoever_has_a_network_of_addresses_has_one_share() {
        let mut attempts = Attempts::default();
        let address = |host: u64| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)));
        assert_eq!(
            (0..1000).filter(|host| attempts.take(address(*host), Duration::ZERO)).count() as u32,
            FROM_ONE
        );
        let mapped: IpAddr = Ipv6Addr::from_bits(0xffff_c000_0201).into();
        assert!(attempts.take(mapped, Duration::ZERO) && attempts.each.contains_key(&v4(1)));
    }
}
