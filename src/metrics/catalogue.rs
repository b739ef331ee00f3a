//! Every metric there is. Durations are in seconds; what is counted is counted since the start of this node.

use std::sync::Arc;

use crate::metrics::buckets;
use crate::metrics::kinds::{Counter, Counters, Gauge, Gauges, Histogram, Histograms, Info, Metric, Tallies};
use crate::metrics::labels::{
    Answer, Connect, Ended, EventIn, EventOut, Expelled, FoundBy, Handshake, Left, Limit, NotPushed, Operation, Queue,
    Reload, Road, Rung, Sending, Slow, Traced, WebhookEvent, WebhookOutcome,
};
use crate::metrics::registry::Book;

/// Makes the struct, with the documentation of each field as the help text of its metric.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[doc = $help:literal])+ $field:ident: $kind:ty = $metric:literal $(, $spec:expr)?;)+
        }
    ) => {
        $(#[$about])*
        pub struct $name {
            pub(super) book: Book,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl $name {
            /// Metrics that say nothing yet.
            pub fn new() -> Arc<Self> {
                let mut book = Book::new();
                $(
                    #[allow(clippy::let_unit_value, reason = "most kinds want to be told nothing more")]
                    let $field = {
                        let spec = metrics!(@spec $($spec)?);
                        <$kind as Metric>::enter(&mut book, $metric, concat!($($help),+).trim(), spec)
                    };
                )+
                Arc::new(Self { book, $($field,)+ })
            }
        }
    };
    (@spec $spec:expr) => { $spec };
    (@spec) => { () };
}

metrics! {
    /// The metrics of one node.
    pub struct Metrics {
        /// The version that runs; the value is always 1.
        build_info: Info = "switchboard_build_info", &["version"];
        /// 1 while this node takes clients, as `/readyz` says, else 0.
        ready: Gauge = "switchboard_ready";
        /// 1 while this node sends its clients away, else 0.
        draining: Gauge = "switchboard_draining";
        /// How often the configuration was read again, at SIGHUP or because a file of settings, secrets or certificates had changed: something was taken over (`applied`), nothing was to be (`unchanged`), or it was not valid and nothing changed (`invalid`).
        config_reloads: Counters<Reload> = "switchboard_config_reloads_total";
        /// When a valid configuration was last read, in seconds since the epoch; at first that of the start.
        config_read_at: Gauge = "switchboard_config_last_read_timestamp_seconds";
        /// Until when the certificate that clients are shown is good, in seconds since the epoch; 0 without TLS.
        tls_expires_at: Gauge = "switchboard_tls_certificate_expiry_timestamp_seconds";
        /// TLS handshakes that came to nothing: it is not TLS or nothing both sides know (`failed`), or it took too long (`timed_out`).
        tls_failures: Counters<Handshake> = "switchboard_tls_handshake_failures_total";

        /// Clients that are connected by Socket.IO.
        connections: Gauge = "switchboard_connections";
        /// TCP connections that are open, of whatever kind.
        tcp_connections: Gauge = "switchboard_tcp_connections";
        /// Clients that came, and what became of them: accepted, or why not.
        connects: Counters<Connect> = "switchboard_connects_total";
        /// Connections that ended, by who or what ended them; `server` are those that were asked to leave.
        disconnects: Counters<Left> = "switchboard_disconnects_total";
        /// Users of whom at least one device is registered at this node.
        registered_users: Gauge = "switchboard_registered_users";
        /// Devices that are registered at this node.
        registered_devices: Gauge = "switchboard_registered_devices";

        /// Events of clients, by the documented code of their answer; `unread` are those without a known name, or refused for their rate before they were read.
        events_in: Counters<(EventIn, Answer)> = "switchboard_events_in_total";
        /// Events to clients, by whether they could be put on their way.
        events_out: Counters<(EventOut, Sending)> = "switchboard_events_out_total";
        /// Requests refused, and connections closed, for a limit: `events` a second, `calls` a minute, and clients closed after too many refusals (`patience`) or for too much at once (`mailbox`).
        rate_limited: Counters<Limit> = "switchboard_rate_limited_total";
        /// Connections closed because their client did not take what it was sent.
        slow_consumers: Counters<Slow> = "switchboard_slow_consumers_total";
        /// Clients that were told to leave for good: a newer connection of their device has registered, or they ignored the limits.
        expelled: Counters<Expelled> = "switchboard_clients_expelled_total";

        /// Calls begun by a client of this node.
        calls_begun: Counter = "switchboard_calls_begun_total";
        /// Calls answered by a client of this node.
        calls_answered: Counter = "switchboard_calls_answered_total";
        /// Calls ended by this node, by reason; `cancelled` are those their caller hung up before anybody answered.
        calls_ended: Counters<Ended> = "switchboard_calls_ended_total";
        /// How long calls rang, by what came of it.
        call_ring: Histograms<Rung> = "switchboard_call_ring_seconds", buckets::RING;
        /// From the answer of a call to the first `sdp_answer` of the device that answered.
        call_setup: Histogram = "switchboard_call_setup_seconds", buckets::SETUP;
        /// How long answered calls lasted, from their answer to their end.
        call_duration: Histogram = "switchboard_call_duration_seconds", buckets::DURATION;
        /// How late calls that ring were looked at after their deadline, by what this node learned it from: its own timer, a look at the deadlines of all nodes (sweep), or a notice of Redis (event).
        ring_timer_lateness: Histograms<FoundBy> = "switchboard_ring_timer_lateness_seconds", buckets::LATENESS;

        /// From the moment a message was sent to its arrival for a client of this node, by whether this node had sent it (local) or another one (remote).
        relay: Histograms<Road> = "switchboard_relay_seconds", buckets::RELAY;
        /// From the moment Redis took a message to its arrival at this node.
        bus_lag: Histogram = "switchboard_bus_lag_seconds", buckets::RELAY;
        /// Messages sent again from the inbox, to devices that came back or after an interruption.
        inbox_replays: Counter = "switchboard_inbox_replays_total";
        /// How many wait: wakeups to be looked at (`push`), messages on the way to push services (`push_services`), and departures that are still to be noted in Redis (`departures`).
        queue_depth: Gauges<Queue> = "switchboard_queue_depth";

        /// What happened around calls and is in no timeline: too much waited, Redis could not be reached, or the call has no room for it, or no timeline.
        timeline_dropped: Counter = "switchboard_timeline_entries_dropped_total";

        /// 1 while Redis can be reached, else 0; always 1 with the embedded backplane.
        backplane_up: Gauge = "switchboard_backplane_up";
        /// How long Redis took to answer, by what it was asked for; what was refused counts too. Nothing with the embedded backplane, which never waits.
        backplane_request: Histograms<Operation> = "switchboard_backplane_request_seconds", buckets::BACKPLANE;
        /// Requests that Redis refused or did not answer in time.
        backplane_failures: Counters<Operation> = "switchboard_backplane_failures_total";
        /// How often Redis was connected anew after its connections were lost.
        redis_reconnects: Counter = "switchboard_redis_reconnects_total";
        /// From the loss of the connections to Redis until messages come again.
        redis_outage: Histogram = "switchboard_redis_outage_seconds", buckets::OUTAGE;
        /// How long it took to listen to everybody again over new connections to Redis.
        redis_subscribing: Histogram = "switchboard_redis_resubscription_seconds", buckets::SUBSCRIBING;

        /// Messages to push services by their end: `sent`, `token_dead`, `refused`, `given_up`, `called_off` or `dropped`.
        pushes: Tallies = "switchboard_pushes_total", &["provider", "kind", "outcome"];
        /// Attempts to push that failed and were followed by another one.
        push_retries: Tallies = "switchboard_push_retries_total", &["provider", "kind"];
        /// Wakeups of which no push was tried.
        not_pushed: Counters<NotPushed> = "switchboard_pushes_not_tried_total";
        /// From the beginning of a call to the registration of a device of the callee that has a push token, while it rings.
        push_to_connect: Histogram = "switchboard_push_to_connect_seconds", buckets::WAKING;

        /// Events that are over with: `taken` by the receiver of webhooks, `refused` by it, or `given_up` because it took none for too long.
        webhooks: Counters<(WebhookEvent, WebhookOutcome)> = "switchboard_webhooks_total";
        /// Attempts to tell an event that failed and are followed by another one.
        webhook_retries: Counters<WebhookEvent> = "switchboard_webhook_retries_total";
        /// From what happened to a call until the receiver of webhooks had taken it.
        webhook_delay: Histogram = "switchboard_webhook_delay_seconds", buckets::TELLING;
        /// Calls of which something is still to be told, by any node; each node says the same.
        webhooks_waiting: Gauge = "switchboard_webhooks_waiting";
        /// For how long the one waits that waits longest, in seconds; each node says the same.
        webhooks_oldest: Gauge = "switchboard_webhooks_oldest_seconds";
        /// Events that were not kept to be told, as there were too many calls that waited, since none waited last; each node says the same.
        webhooks_dropped: Gauge = "switchboard_webhooks_dropped";
        /// Spans of traces: taken by the collector (`exported`), not wanted by it (`rejected`), or dropped, as it could not be reached or refused them (`not_sent`), or as too many waited (`queue_full`). Nothing without a collector.
        trace_spans: Counters<Traced> = "switchboard_trace_spans_total";
    }
}
