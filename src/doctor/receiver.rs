//! Whether anybody is where webhooks go. Nothing is told there: it is asked as a browser would ask.

use url::Url;

use crate::config::WebhookConfig;
use crate::finding::Finding;
use crate::outbound::header::HeaderMap;
use crate::outbound::{Client, Manner};

/// More than that is not read, and need not be.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Who is told of calls.
pub(super) struct Receiver {
    client: Client,
    url: Url,
}

impl Receiver {
    pub(super) fn new(config: &WebhookConfig) -> Self {
        Self { client: Client::new(&config.url, Manner::Rarely), url: config.url.clone() }
    }

    pub(super) async fn look(&self) -> Finding {
        const SUBJECT: &str = "WEBHOOK_URL";
        let host = self.url.host_str().unwrap_or_default();
        match self.client.get(self.url.clone(), HeaderMap::new(), ANSWER_BYTES_MAX).await {
            Ok(answer) if answer.status.is_server_error() => Finding::warning(
                SUBJECT,
                format!("{host} answers {}", answer.status),
                "Look into the log of the receiver: what it does not take with 2xx is told again",
            ),
            // Receivers take POST only, and say so with 404 or 405.
            Ok(answer) => {
                Finding::ok(SUBJECT, format!("{host} answers ({}); nothing was told", answer.status.as_u16()))
            }
            Err(failure) => Finding::problem(
                SUBJECT,
                format!("{host}: {}", failure.reason()),
                "Start the receiver, correct WEBHOOK_URL, or let this machine reach it (DNS, firewall, SSL_CERT_FILE, HTTPS_PROXY)",
            ),
        }
    }
}
