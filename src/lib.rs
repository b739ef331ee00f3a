//! switchboard: a call-signaling node.
//!
//! A client's event comes in at [`socket`], which reads it by [`protocol`] and keeps it in order. [`switchboard`] loads the
//! call it is about, asks [`call`] what becomes of it, and commits the answer to the [`backplane`]: record, deadline and
//! messages in one step. The backplane carries each message to the nodes that hold its recipient, where it leaves by a
//! [`switchboard::Seat`] and a socket again. [`push`] and [`turn`] stand at the side, [`http`] answers what is no call, and
//! [`app`] puts it all together.

pub mod ids;

pub mod clock;

pub mod finding;

pub mod metrics;

pub mod outbound;

pub mod call;

pub mod timeline;

pub mod protocol;

pub mod backplane;

pub mod push;

pub mod webhooks;

pub mod switchboard;

pub mod auth;

pub mod socket;

pub mod turn;

pub mod http;

pub mod listener;

pub mod lifecycle;

pub mod app;

pub mod config;

pub mod cli;

pub mod doctor;

pub mod api_doc;

pub mod telemetry;
