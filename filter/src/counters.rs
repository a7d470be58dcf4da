//! Counters, kept inside the VM and added to Envoy's metrics on a tick: a host call to count costs
//! more than anything else on the fast path.
//! perf: decision 8

use std::cell::RefCell;

use crate::host;

/// Counters named `portcullis.<group>.<what>`. The names are all compiled in, so their number is
/// bounded.
#[derive(Default)]
pub(crate) struct Counters(RefCell<Vec<Counter>>);

struct Counter {
    group: &'static str,
    what: &'static str,
    /// The host's id for it, once it was flushed.
    id: Option<u32>,
    pending: u64,
}

impl Counters {
    /// Adds one to a counter.
    pub(crate) fn count(&self, group: &'static str, what: &'static str) {
        self.add(group, what, 1);
    }

    /// Adds to a counter.
    pub(crate) fn add(&self, group: &'static str, what: &'static str, by: u64) {
        let mut counters = self.0.borrow_mut();
        // Compared by address, which is faster than by text on every request. A name that stands at
        // two addresses has two entries here and one counter at the host.
        match counters.iter_mut().find(|counter| std::ptr::eq(counter.group, group) && std::ptr::eq(counter.what, what))
        {
            Some(counter) => counter.pending = counter.pending.saturating_add(by),
            None => counters.push(Counter { group, what, id: None, pending: by }),
        }
    }

    /// Returns what was counted in a group since the last flush.
    pub(crate) fn pending(&self, group: &str) -> Vec<&'static str> {
        let counters = self.0.borrow();
        let counted = counters.iter().filter(|counter| counter.group == group && counter.pending > 0);
        counted.map(|counter| counter.what).collect()
    }

    /// Adds everything that was counted since the last flush to the host's metrics.
    pub(crate) fn flush(&self) {
        for counter in self.0.borrow_mut().iter_mut().filter(|counter| counter.pending > 0) {
            counter.id =
                counter.id.or_else(|| host::counter(&format!("portcullis.{}.{}", counter.group, counter.what)));
            if let Some(id) = counter.id {
                host::count(id, std::mem::take(&mut counter.pending));
            }
        }
    }
}
