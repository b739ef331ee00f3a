//! The timeline of a call for a person: a line for each thing that happened, with the time since the call began.

use std::fmt::Write;

use crate::call::Ending;
use crate::clock::Timestamp;
use crate::timeline::{Account, Entry, Known, What, Who, ending};

/// How much of the name of a node is shown: enough to tell the nodes of a cluster apart.
const NODE_CHARS: usize = 8;

/// `account` as lines of text, the verdict last.
pub fn lines(account: &Account) -> String {
    let begun_at = account.entries.first().map_or(0, |entry| entry.at);
    let mut rows = Vec::new();
    for entry in &account.entries {
        rows.extend(rows_of(entry, begun_at));
    }
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or_default();
    let (offset, node, who) = (width(|row| &row.offset), width(|row| &row.node), width(|row| &row.who));
    let mut text = format!("call {}, begun {}\n\n", account.call_id, Timestamp(begun_at).to_iso8601());
    for row in &rows {
        let Row { offset: at, node: at_node, who: by, text: what } = row;
        // Never fails: it is memory.
        let _ = writeln!(text, "  {at:>offset$}  {at_node:<node$}  {by:<who$}  {what}");
    }
    let _ = write!(text, "\n{}", account.verdict);
    text
}

struct Row {
    offset: String,
    node: String,
    who: String,
    text: String,
}

fn rows_of(entry: &Entry, begun_at: u64) -> Vec<Row> {
    let row = |who: Option<&Who>, text: String| Row {
        offset: offset(entry.at, begun_at),
        node: short(&entry.node),
        who: who.map_or_else(|| "-".to_owned(), name),
        text,
    };
    match &entry.what {
        What::Begun { by, callee, call_type, devices, more_devices } => {
            let mut rows = vec![row(Some(by), format!("calls {callee} ({call_type})"))];
            for known in devices {
                let device = Who { user: callee.clone(), device: known.device.clone() };
                rows.push(row(Some(&device), state(known, entry.at)));
            }
            if devices.is_empty() {
                rows.push(row(None, format!("{callee} has no device")));
            }
            if *more_devices > 0 {
                rows.push(row(None, format!("and {more_devices} more devices of {callee}")));
            }
            rows
        }
        What::Answered { by } => vec![row(Some(by), "answers".into())],
        What::Ended { how, by } => vec![row(by.as_ref(), over(how).into())],
        What::Delivered { to, message } => vec![row(Some(to), format!("is sent {message}"))],
        What::Undelivered { to, message, why } => vec![row(Some(to), format!("cannot be sent {message}: {why}"))],
        What::Acknowledged { by } => vec![row(Some(by), "has the ring: it was heard from since".into())],
        What::Silent { by, gone: true } => {
            vec![row(Some(by), "nothing was heard since the ring, and its connection is gone".into())]
        }
        What::Silent { by, gone: false } => vec![row(Some(by), "nothing was heard since the ring".into())],
        What::Pushed { to, service, kind, outcome, why } => {
            vec![row(Some(to), pushed(service, kind, outcome, why.as_deref()))]
        }
        What::NotPushed { kind, why } => vec![row(None, format!("no push of the {}: {why}", thing(kind)))],
        What::StatusAsked { user, status } => {
            let who = user.as_deref().unwrap_or("whoever has the token of the push");
            vec![row(None, format!("{who} asks over HTTP how it stands: {status}"))]
        }
        What::Registered { by } => vec![row(Some(by), "registers".into())],
        What::Refused { by, asked, why } => vec![row(Some(by), format!("asks for {asked} and is refused: {why}"))],
        What::Away { by } => vec![row(Some(by), "has lost its connection and is waited for".into())],
        What::Unknown => vec![row(None, "something that a newer release has noted".into())],
    }
}

fn offset(at: u64, begun_at: u64) -> String {
    let millis = at.saturating_sub(begun_at);
    format!("+{}.{:03} s", millis / 1000, millis % 1000)
}

fn short(node: &str) -> String {
    node.chars().take(NODE_CHARS).collect()
}

pub(super) fn name(who: &Who) -> String {
    format!("{}/{}", who.user, who.device)
}

fn state(known: &Known, at: u64) -> String {
    let wakes = if known.tokens.is_empty() {
        "no push token".to_owned()
    } else {
        format!("can be woken ({})", known.tokens.join(", "))
    };
    match (&known.node, known.connected) {
        (Some(node), true) => format!("is connected at {}, {wakes}", short(node)),
        (None, true) => format!("is connected, {wakes}"),
        (_, false) => format!("is not connected for {}, {wakes}", span(at.saturating_sub(known.seen_at))),
    }
}

/// A span of time, for people.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What a push was about.
pub(super) fn thing(kind: &str) -> &str {
    match kind {
        "stop" => "end of the ring",
        "missed" => "missed call",
        _ => "ring",
    }
}

fn pushed(service: &str, kind: &str, outcome: &str, why: Option<&str>) -> String {
    let thing = thing(kind);
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    match outcome {
        "sent" => format!("push of the {thing}: {service} has taken it"),
        "token_dead" => format!("push of the {thing}: {service} says that the token is dead{why}"),
        "refused" => format!("push of the {thing}: {service} refuses it{why}"),
        "retried" => format!("push of the {thing}: {service} fails{why}, tried again"),
        "given_up" => format!("push of the {thing}: {service} fails{why}, given up"),
        "called_off" => format!("push of the {thing}: called off before it went out to {service}"),
        "dropped" => format!("push of the {thing}: dropped, too many wait for {service}"),
        other => format!("push of the {thing}: {service}: {other}{why}"),
    }
}

pub(super) fn over(how: &str) -> &'static str {
    match ending(how) {
        Some(Ending::Busy) => "over: the callee was busy",
        Some(Ending::Rejected) => "over: declined",
        Some(Ending::NoAnswer) => "over: nobody answered in time",
        Some(Ending::Cancelled) => "over: hung up before it was answered",
        Some(Ending::HungUp) => "over: hung up",
        Some(Ending::Replaced) => "over: this device turned to another call",
        Some(Ending::ConnectionLost) => "over: the connection was lost and did not come back",
        Some(Ending::MaxDuration) => "over: it lasted as long as a call may",
        None => "over",
    }
}
