//! The cause of an answer with the status of an outage: Envoy answers with 503 and 504 itself where
//! it has no answer, and its text tells why. The text is only looked up: a provider could have sent
//! it, which changes the reason that is logged and audited, and nothing else.

use crate::ports::{CallError, CallReply};
use crate::upstream::provider_error::Outage;

/// Returns the cause of an answer that is not the expected one.
pub(super) fn outage(reply: &CallReply) -> Outage {
    let says = |text: &str| reply.body.windows(text.len()).any(|window| window == text.as_bytes());
    match reply.status {
        503 if says("TLS_error") => Outage::Tls,
        503 if reply.body.starts_with(NO_CONNECTION) || reply.body == NO_HOST => Outage::NoConnection,
        504 if reply.body == NO_ANSWER => Outage::Timeout,
        status => Outage::Status(status),
    }
}

impl From<CallError> for Outage {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent => Self::NoCluster,
            CallError::NoAnswer => Self::NoConnection,
        }
    }
}

const NO_CONNECTION: &[u8] = b"upstream connect error or disconnect/reset before headers";
const NO_HOST: &[u8] = b"no healthy upstream";
const NO_ANSWER: &[u8] = b"upstream request timeout";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Outage {
        outage(&CallReply { status, content_type: None, from_bridge: false, body: body.into() })
    }

    #[test]
    fn the_text_of_envoy_tells_why_there_is_no_answer() {
        let connection = "upstream connect error or disconnect/reset before headers. reset reason: ";
        let refused = format!("{connection}remote connection failure, transport failure reason: delayed connect error");
        let tls = format!("{connection}remote connection failure, transport failure reason: TLS_error:|268435581:SSL");
        assert_eq!(of(503, &refused), Outage::NoConnection);
        assert_eq!(of(503, &tls), Outage::Tls);
        assert_eq!(of(503, "no healthy upstream"), Outage::NoConnection);
        assert_eq!(of(504, "upstream request timeout"), Outage::Timeout);
        for (status, body) in [(503, "maintenance"), (503, ""), (504, "gateway timeout"), (500, "TLS_error"), (404, "")]
        {
            assert_eq!(of(status, body), Outage::Status(status), "{status} {body}");
        }
        assert_eq!(
            (Outage::from(CallError::NotSent), Outage::from(CallError::NoAnswer)),
            (Outage::NoCluster, Outage::NoConnection)
        );
    }
}
