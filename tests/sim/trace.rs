//! What happens in a run, in order: hashed, so that two runs can be compared, shown, when a seed is replayed, and
//! told to the oracle.

use crate::oracle::Oracle;
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// What everybody in a simulated world shares.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Mutex<State>>);

/// How a run has gone so far.
pub(crate) struct State {
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    /// Whose turn it is.
    pub(crate) machine: usize,
    pub(crate) oracle: Oracle,
    names: Vec<String>,
    hash: DefaultHasher,
    show: bool,
}

impl Stage {
    /// An empty stage for machines of these names.
    pub(crate) fn new(oracle: Oracle, names: Vec<String>, show: bool) -> Self {
        let state = State { now: 0, machine: 0, oracle, names, hash: DefaultHasher::new(), show };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Everybody runs on one thread, so nobody ever waits here.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Notes something that the world does.
    pub(crate) fn note(&self, text: &str) {
        self.state().line("world", text);
    }
}

impl State {
    /// The trace so far, as a number.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Notes something that the machine whose turn it is does.
    pub(crate) fn speak(&mut self, text: &str) {
        let who = self.names[self.machine].clone();
        self.line(&who, text);
    }

    fn line(&mut self, who: &str, text: &str) {
        (self.now, who, text).hash(&mut self.hash);
        if self.show {
            println!("{:>9.3}  {who:<6} {text}", self.now as f64 / 1e3);
        }
    }

    fn log(&mut self, fields: &Fields) {
        let mut text = fields.message.clone();
        for (name, value) in &fields.values {
            let _ = write!(text, "  {name}={value}");
        }
        self.speak(&text);
        self.oracle.hears(self.now, self.machine, &fields.message, &fields.values);
    }
}

impl Subscriber for Stage {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("sgdt_") && *metadata.level() <= Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.state().log(&fields);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A log line's parts.
#[derive(Default)]
struct Fields {
    message: String,
    values: BTreeMap<&'static str, String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.values.insert(field.name(), format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.insert(field.name(), value.to_owned());
    }
}
