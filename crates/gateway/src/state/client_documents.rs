//! The client-id metadata documents that this VM keeps, so that a login asks no other server while
//! a document is fresh. Only documents that describe their client are kept: a failure is not.

use std::cell::RefCell;
use std::rc::Rc;

use portcullis_protocol::oauth::client_document::ClientDocument;

/// The kept documents.
#[derive(Default)]
pub struct ClientDocuments(RefCell<Kept>);

#[derive(Default)]
struct Kept {
    /// The one that was used last is the last.
    documents: Vec<KeptDocument>,
    bytes: usize,
}

struct KeptDocument {
    client_id: Rc<str>,
    document: Rc<ClientDocument>,
    kept_at: u64,
    stale_at: u64,
}

impl ClientDocuments {
    /// Returns the document of a client that is fresh at `now`, in Unix seconds.
    pub(crate) fn find(&self, client_id: &str, now: u64) -> Option<Rc<ClientDocument>> {
        let mut kept = self.0.borrow_mut();
        let found = kept.take(client_id)?;
        // After a clock was set back it is not known how old a document is.
        if !(found.kept_at..found.stale_at).contains(&now) {
            return None;
        }
        let document = Rc::clone(&found.document);
        kept.push(found);
        Some(document)
    }

    /// Keeps a document for `age` seconds from `now` on; those that were not used for the longest
    /// time make room for it. Of `age` 0, and of one larger than all may be, nothing is kept.
    pub(crate) fn keep(&self, client_id: &str, document: Rc<ClientDocument>, now: u64, age: u64) {
        let mut kept = self.0.borrow_mut();
        kept.take(client_id);
        let new =
            KeptDocument { client_id: client_id.into(), document, kept_at: now, stale_at: now.saturating_add(age) };
        if age == 0 || new.bytes() > MAX_BYTES {
            return;
        }
        while kept.documents.len() >= MAX_DOCUMENTS || kept.bytes.saturating_add(new.bytes()) > MAX_BYTES {
            let oldest = kept.documents.remove(0);
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
        }
        kept.push(new);
    }
}

impl Kept {
    fn take(&mut self, client_id: &str) -> Option<KeptDocument> {
        let place = self.documents.iter().position(|kept| *kept.client_id == *client_id)?;
        let found = self.documents.remove(place);
        self.bytes = self.bytes.saturating_sub(found.bytes());
        Some(found)
    }

    fn push(&mut self, document: KeptDocument) {
        self.bytes = self.bytes.saturating_add(document.bytes());
        self.documents.push(document);
    }
}

impl KeptDocument {
    fn bytes(&self) -> usize {
        self.client_id.len().saturating_add(self.document.bytes())
    }
}

/// The most documents that a VM keeps.
const MAX_DOCUMENTS: usize = 256;
/// The most bytes that they have together.
const MAX_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use portcullis_protocol::oauth::client_id_url::ClientIdUrl;
    use serde_json::json;

    use super::*;

    fn id(number: usize) -> String {
        format!("https://client.example/{number}.json")
    }

    fn document(number: usize, redirect_uris: usize) -> Rc<ClientDocument> {
        let uris: Vec<_> =
            (0..redirect_uris).map(|uri| format!("https://client.example/{uri}/{}", "a".repeat(100))).collect();
        let text = json!({ "client_id": id(number), "redirect_uris": uris }).to_string();
        Rc::new(ClientDocument::parse(&ClientIdUrl::parse(&id(number)).unwrap(), text.as_bytes()).unwrap())
    }

    #[test]
    fn a_document_is_found_as_long_as_it_is_fresh() {
        let documents = ClientDocuments::default();
        documents.keep(&id(1), document(1, 1), 100, 60);
        assert!(documents.find(&id(1), 100).is_some() && documents.find(&id(1), 159).is_some());
        assert!(documents.find(&id(2), 100).is_none());
        assert!(documents.find(&id(1), 160).is_none());
        // What was stale is gone, also for a clock that goes back.
        assert!(documents.find(&id(1), 100).is_none());
        documents.keep(&id(1), document(1, 1), 100, 60);
        assert!(documents.find(&id(1), 99).is_none());
    }

    #[test]
    fn a_newer_document_replaces_the_one_before() {
        let documents = ClientDocuments::default();
        documents.keep(&id(1), document(1, 1), 100, 60);
        documents.keep(&id(1), document(1, 2), 110, 60);
        assert_eq!(documents.find(&id(1), 110).unwrap().redirect_uris().len(), 2);
        documents.keep(&id(1), document(1, 3), 120, 0);
        assert!(documents.find(&id(1), 120).is_none());
        assert_eq!(documents.0.borrow().bytes, 0);
    }

    #[test]
    fn their_number_and_their_bytes_are_bounded_and_those_in_use_stay() {
        for (redirect_uris, most) in [(1, MAX_DOCUMENTS), (60, MAX_BYTES / 60 / 100)] {
            let documents = ClientDocuments::default();
            for number in 0..1_000 {
                documents.keep(&id(number), document(number, redirect_uris), 100, 60);
                assert!(documents.find(&id(0), 100).is_some(), "{number}");
                let kept = documents.0.borrow();
                assert!(kept.documents.len() <= most && kept.bytes <= MAX_BYTES);
                assert_eq!(kept.bytes, kept.documents.iter().map(KeptDocument::bytes).sum::<usize>());
            }
            assert!(documents.find(&id(1), 100).is_none() && documents.find(&id(999), 100).is_some());
        }
    }
}
