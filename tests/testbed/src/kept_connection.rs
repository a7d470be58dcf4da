//! A connection that carries one request after the other, for floods: thousands of requests on
//! connections of their own would measure the kernel.

use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::http::{Request, Response};

/// A connection to one server, opened by its first request.
#[derive(Default)]
pub struct KeptConnection(Option<BufReader<TcpStream>>);

impl KeptConnection {
    /// Sends a request and reads the whole answer, for at most 30 seconds.
    ///
    /// # Panics
    /// When there is no complete answer in time, or the server has closed the connection.
    pub async fn send(&mut self, request: Request) -> Response {
        let exchange = async {
            let stream = match self.0.take() {
                Some(stream) => stream,
                None => request.connect().await?,
            };
            let mut open = request.header("connection", "keep-alive").exchange(stream).await?;
            let mut body = Vec::new();
            while let Some(piece) = open.next().await? {
                body.extend_from_slice(&piece);
            }
            self.0 = Some(open.reader);
            std::io::Result::Ok(Response { status: open.status, headers: open.headers, body })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.expect("an answer in time").unwrap_or_else(|error| panic!("on a kept connection: {error}"))
    }
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
