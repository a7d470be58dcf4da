//! The execution of a request: the caller's right, the request, the answer, by the table of verbs.

use portcullis_storage_api::for_each_verb;
use portcullis_storage_api::wire::{
    Call, FetchDocumentAnswer, HealthAnswer, HealthRequest, Refusal, RefusalCause, SecretsAnswer, Verb, verbs,
};

use crate::documents::Fetcher;
use crate::http::authorization::Grant;
use crate::http::body::{from_json, to_json};
use crate::operations::verbs::Operations;
use crate::secrets::SecretFiles;

/// Executes every verb.
pub(crate) struct Verbs {
    /// The verbs in Redis.
    pub(crate) operations: Operations,
    /// The secrets, if configured.
    pub(crate) secrets: Option<SecretFiles>,
    /// The fetcher of documents, if configured.
    pub(crate) fetcher: Option<Fetcher>,
}

macro_rules! execute {
    ($({ $verb:ident $name:ident $request:ident $answer:ident $right:ident $execution:ident $doc:literal })*) => {
        impl Verbs {
            /// Authorizes the caller, parses the request, executes it and serializes the answer.
            ///
            /// # Errors
            /// The refusal for the caller.
            pub(crate) async fn execute(&self, verb: Verb, body: &[u8], grant: &Grant) -> Result<Vec<u8>, Refusal> {
                match verb {
                    $(Verb::$verb => {
                        let answer: <verbs::$verb as Call>::Answer =
                            execute!(@run $right $verb self.$name, body, grant);
                        Ok(to_json(&answer)?)
                    })*
                }
            }
        }
    };
    (@run space $verb:ident $self:ident.$name:ident, $body:ident, $grant:ident) => {{
        let request: <verbs::$verb as Call>::Request = from_json($body)?;
        $grant.authorize_space(&request.space)?;
        $self.operations.$name(request).await?
    }};
    (@run secrets $verb:ident $self:ident.$name:ident, $body:ident, $grant:ident) => {{
        $grant.authorize_secrets()?;
        $self.$name($body).await?
    }};
    (@run none $verb:ident $self:ident.$name:ident, $body:ident, $grant:ident) => {
        $self.$name($body).await?
    };
}

for_each_verb!(execute);

impl Verbs {
    async fn health(&self, body: &[u8]) -> Result<HealthAnswer, RefusalCause> {
        let HealthRequest {} = from_json(body)?;
        Ok(self.operations.health())
    }

    async fn secrets(&self, body: &[u8]) -> Result<SecretsAnswer, Refusal> {
        let secrets = self.secrets.as_ref().ok_or(RefusalCause::NotConfigured)?;
        secrets.answer(from_json(body)?).await
    }

    async fn fetch_document(&self, body: &[u8]) -> Result<FetchDocumentAnswer, RefusalCause> {
        let fetcher = self.fetcher.as_ref().ok_or(RefusalCause::NotConfigured)?;
        fetcher.answer(&from_json(body)?).await
    }
}
