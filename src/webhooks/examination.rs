//! Whether anybody is where webhooks go. Nothing is told there: it is asked as a browser would ask, and the answer judged as one to an
//! event would be.

use crate::finding::Finding;
use crate::outbound::header::HeaderMap;
use crate::webhooks::receiver::{ANSWER_BYTES_MAX, Receiver, Verdict, verdict};

const SUBJECT: &str = "WEBHOOK_URL";

impl Receiver {
    /// What is to be said about it.
    pub async fn examine(&self) -> Finding {
        let host = self.url.host_str().unwrap_or_default();
        let answer = match self.client.get(self.url.clone(), HeaderMap::new(), ANSWER_BYTES_MAX).await {
            Ok(answer) => answer,
            Err(failure) => {
                return Finding::problem(
                    SUBJECT,
                    format!("{host}: {}", failure.reason()),
                    "Start the receiver, correct WEBHOOK_URL, or let this machine reach it (DNS, firewall, SSL_CERT_FILE, HTTPS_PROXY)",
                );
            }
        };
        let status = answer.status.as_u16();
        match verdict(&answer, self.clock.now()) {
            // Receivers take POST only, and say so with 404 or 405.
            Verdict::Taken | Verdict::Refused(_) => {
                Finding::ok(SUBJECT, format!("{host} answers ({status}); nothing was told"))
            }
            Verdict::Gone => Finding::warning(
                SUBJECT,
                format!("{host} says that it is gone ({status}): events that it answers so are passed over at once"),
                "Unset WEBHOOK_URL, or set it to where the receiver is now",
            ),
            Verdict::Later { why, after: _ } => Finding::warning(
                SUBJECT,
                format!("{host} answers {status}: {why}"),
                "Look into the log of the receiver: what it does not take with 2xx is told again",
            ),
        }
    }
}
