//! The browser of the [test kit](portcullis_testkit::browser), over sockets.

pub use portcullis_testkit::browser::{Arrival, Cookie, Form, Hop, Jar, Navigation, Next, Page};

use crate::http::Sockets;

/// A browser that goes wherever loopback leads.
pub type Browser = portcullis_testkit::browser::Browser<Sockets>;
