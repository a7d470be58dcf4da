//! What happened, counted inside the VM and handed to Envoy's metrics on a tick: counting at the host costs more than
//! anything else on the fast path.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host;

/// Counters named `portcullis.<group>.<what>`. The names are all compiled in, so their number is bounded.
#[derive(Default)]
pub(crate) struct Counters(RefCell<BTreeMap<(&'static str, &'static str), Counter>>);

#[derive(Default)]
struct Counter {
    /// The host's id for it, once it was needed.
    id: Option<u32>,
    pending: u64,
}

impl Counters {
    /// Counts one.
    pub(crate) fn count(&self, group: &'static str, what: &'static str) {
        self.add(group, what, 1);
    }

    /// Counts several.
    pub(crate) fn add(&self, group: &'static str, what: &'static str, by: u64) {
        let mut counters = self.0.borrow_mut();
        let counter = counters.entry((group, what)).or_default();
        counter.pending = counter.pending.saturating_add(by);
    }

    /// Hands everything counted since the last time to the host.
    pub(crate) fn flush(&self) {
        for ((group, what), counter) in self.0.borrow_mut().iter_mut().filter(|(_, counter)| counter.pending > 0) {
            counter.id = counter.id.or_else(|| host::counter(&format!("portcullis.{group}.{what}")));
            if let Some(id) = counter.id {
                host::count(id, std::mem::take(&mut counter.pending));
            }
        }
    }
}
