//! Which stories run at once. Most share the machine with as many others as there are test
//! threads; one that loads every core, or measures, has it alone.
//!
//! A story holds its share until its thread ends, so it has to ask only once, and the functions
//! that hand out testbeds ask for it.

use std::cell::RefCell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use portcullis_testbed::testbed::{Builder, Testbed};

/// Returns the builder of a testbed for a story that shares the machine.
pub(crate) fn testbed() -> Builder {
    share();
    Testbed::builder()
}

/// Returns the builder of a testbed for a story that does next to nothing for a minute or so. It
/// takes no share: no story waits for it, and one that has the machine alone hardly notices it.
pub fn waiting_testbed() -> Builder {
    Testbed::builder()
}

/// Waits until no story has the machine alone. Does nothing in a story that holds it already.
pub(crate) fn share() {
    HOLD.with_borrow_mut(|hold| {
        hold.get_or_insert_with(|| Hold::Shared { _guard: MACHINE.read().unwrap_or_else(PoisonError::into_inner) });
    });
}

/// Waits until no other story uses the machine, and has it alone until this story's thread ends.
pub(crate) fn take_alone() {
    HOLD.with_borrow_mut(|hold| {
        // With one test thread, every story runs in the same.
        *hold = None;
        *hold = Some(Hold::Alone { _guard: MACHINE.write().unwrap_or_else(PoisonError::into_inner) });
    });
}

enum Hold {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

thread_local! {
    static HOLD: RefCell<Option<Hold>> = const { RefCell::new(None) };
}

static MACHINE: RwLock<()> = RwLock::new(());
