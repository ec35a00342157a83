//! What befalls a cluster, in order: drawn from a seed, and nothing else.
//!
//! A cluster has seats; whoever sits in one can be killed, stopped or asked to leave, and another takes the
//! seat. The last few seats are behind proxies, one link each. A plan leaves somebody alive: at any time at
//! most one worker is stopped, one link is bad, and while the name server is away, when those who come are not
//! seen, one worker is killed. And nobody is killed behind a bad link, where the client would not see it soon.

use harness::{proxy::Direction, reference::word};
use std::{ops::Range, time::Duration};

/// Something that happens.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Event {
    /// SIGKILL; another worker takes the seat at once, under the same name or a new one.
    Kill { seat: usize, same_name: bool },
    /// SIGSTOP.
    Stop { seat: usize },
    /// SIGCONT.
    Continue { seat: usize },
    /// SIGTERM; another worker takes the seat at once.
    Leave { seat: usize },
    /// SIGKILL to the name server.
    NameServerDies,
    /// Another name server, which knows nothing, in its place.
    NameServerReturns,
    /// A link goes bad.
    Fault { link: usize, fault: Fault },
    /// And is well again.
    Heal { link: usize },
}

/// What happens to a link.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Fault {
    Delay(Duration),
    /// So many bytes a second.
    Throttle(u64),
    Swallow(&'static [Direction]),
    Hold(&'static [Direction]),
    Reset,
    /// After so many more bytes.
    Cut(Direction, u64),
}

impl Fault {
    /// Whether a connection may break by it, at some time until it is healed.
    pub(crate) fn breaks(&self) -> bool {
        !matches!(self, Self::Delay(_) | Self::Throttle(_))
    }
}

/// An event, and how many more results are waited for before it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Step {
    pub(crate) after: usize,
    pub(crate) event: Event,
}

/// Draws numbers from a seed.
struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    fn draw(&mut self, range: Range<u64>) -> u64 {
        self.drawn += 1;
        range.start + word(self.seed, self.drawn) % (range.end - range.start)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw(0..100) < percent
    }

    fn one_of(&mut self, count: usize) -> usize {
        self.draw(0..count as u64) as usize
    }
}

/// What is wrong at the moment.
#[derive(Default)]
struct Weather {
    stopped: Option<usize>,
    headless: bool,
    bad_link: Option<usize>,
}

/// A plan with that many kills for a cluster with those seats, the last `links` of them behind proxies. It ends
/// with everything well again.
pub(crate) fn storm(seed: u64, kills: usize, seats: usize, links: usize) -> Vec<Step> {
    let mut dice = Dice { seed, drawn: 0 };
    let mut weather = Weather::default();
    let mut steps = Vec::new();
    for _ in 0..kills {
        let mut events = mend(&mut dice, &mut weather);
        events.extend(worsen(&mut dice, &mut weather, seats, links));
        let in_sight = |seat: &usize| weather.bad_link.is_none_or(|link| seats - links + link != *seat);
        let seat = std::iter::repeat_with(|| dice.one_of(seats)).find(in_sight).unwrap_or_default();
        weather.stopped.take_if(|stopped| *stopped == seat);
        events.push(Event::Kill { seat, same_name: dice.chance(30) });
        steps.extend(events.into_iter().map(|event| Step { after: dice.one_of(16), event }));
    }
    let heal = weather.bad_link.map(|link| Event::Heal { link });
    let rise = weather.stopped.map(|seat| Event::Continue { seat });
    let back = weather.headless.then_some(Event::NameServerReturns);
    steps.extend(heal.into_iter().chain(rise).chain(back).map(|event| Step { after: 8, event }));
    steps
}

/// What gets better before the next kill.
fn mend(dice: &mut Dice, weather: &mut Weather) -> Vec<Event> {
    let mut events = Vec::new();
    if dice.chance(50) {
        events.extend(weather.stopped.take().map(|seat| Event::Continue { seat }));
    }
    if dice.chance(60) {
        events.extend(weather.bad_link.take().map(|link| Event::Heal { link }));
    }
    if std::mem::take(&mut weather.headless) {
        events.push(Event::NameServerReturns);
    }
    events
}

/// What gets worse before the next kill.
fn worsen(dice: &mut Dice, weather: &mut Weather, seats: usize, links: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let free_seat = |dice: &mut Dice, weather: &Weather| {
        Some(dice.one_of(seats)).filter(|seat| weather.stopped != Some(*seat))
    };
    if dice.chance(15) && weather.stopped.is_none() {
        weather.stopped = free_seat(dice, weather);
        events.extend(weather.stopped.map(|seat| Event::Stop { seat }));
    }
    if dice.chance(12) {
        events.extend(free_seat(dice, weather).map(|seat| Event::Leave { seat }));
    }
    if links > 0 && dice.chance(40) && weather.bad_link.is_none() {
        let link = dice.one_of(links);
        weather.bad_link = Some(link);
        events.push(Event::Fault { link, fault: fault(dice) });
    }
    // The last, so that nobody but the one killed next comes while nobody can be seen to come.
    if dice.chance(6) {
        weather.headless = true;
        events.push(Event::NameServerDies);
    }
    events
}

fn fault(dice: &mut Dice) -> Fault {
    const WAYS: [&[Direction]; 3] = [&Direction::BOTH, &[Direction::ToTarget], &[Direction::ToSource]];
    let ways = WAYS[dice.one_of(WAYS.len())];
    match dice.draw(0..100) {
        0..20 => Fault::Delay(Duration::from_millis(dice.draw(1..200))),
        20..35 => Fault::Throttle(dice.draw(5_000..50_000)),
        35..50 => Fault::Swallow(ways),
        50..60 => Fault::Hold(ways),
        60..75 => Fault::Reset,
        _ => Fault::Cut(Direction::BOTH[dice.one_of(2)], dice.draw(0..4_000)),
    }
}

#[test]
fn a_seed_decides_everything_and_every_plan_ends_well() {
    for seed in 0..200 {
        let steps = storm(seed, 100, 6, 2);
        assert_eq!(steps, storm(seed, 100, 6, 2));
        assert_ne!(steps, storm(seed + 1, 100, 6, 2));
        let count = |wanted: fn(&Event) -> bool| steps.iter().filter(|step| wanted(&step.event)).count();
        assert_eq!(count(|event| matches!(event, Event::Kill { .. })), 100);
        assert_eq!(
            count(|event| *event == Event::NameServerDies),
            count(|event| *event == Event::NameServerReturns)
        );
        assert_eq!(
            count(|event| matches!(event, Event::Fault { .. })),
            count(|event| matches!(event, Event::Heal { .. }))
        );
        let (mut stopped, mut bad) = (None, None);
        for step in steps {
            match step.event {
                Event::Stop { seat } => assert_eq!(stopped.replace(seat), None),
                Event::Continue { seat } => assert_eq!(stopped.take(), Some(seat)),
                Event::Leave { seat } => assert_ne!(stopped, Some(seat)),
                Event::Kill { seat, .. } => {
                    assert_ne!(bad.map(|link| 4 + link), Some(seat));
                    stopped.take_if(|stopped| *stopped == seat);
                }
                Event::Fault { link, .. } => assert_eq!(bad.replace(link), None),
                Event::Heal { link } => assert_eq!(bad.take(), Some(link)),
                Event::NameServerDies | Event::NameServerReturns => {}
            }
        }
        assert_eq!((stopped, bad), (None, None));
    }
}
