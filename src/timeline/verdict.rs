//! What a timeline comes to, in a sentence or two: that it rang, or why it probably did not.

use crate::call::Ending;
use crate::timeline::words::{name, over, span};
use crate::timeline::{Entry, Known, What, Who, ending};

/// Silence of so many ms means something: a device that has nothing to say answers a ping, by default every 25 s.
const TELLING: u64 = 30_000;
/// What the messages that ring a device are called.
const RING: &str = "incoming_call";

/// The verdict on a call, from its entries in order.
pub(super) fn of(entries: &[Entry]) -> String {
    let Some(first) = entries.iter().find(|entry| matches!(entry.what, What::Begun { .. })) else {
        return "How this call began is not known.".into();
    };
    let What::Begun { by, callee, devices, .. } = &first.what else { return String::new() };
    let case = Case { entries, begun_at: first.at, caller: by, callee, devices };
    let end = case.end();
    if let Some((entry, who)) = case.answer() {
        let answered = format!("{} answered after {}", name(who), case.after(entry));
        return match end {
            Some((ended, _, by)) => format!("{answered}; {}{}.", over_after(&case, ended), by_whom(by)),
            None => format!("{answered}; the call goes on."),
        };
    }
    match end {
        Some((_, Some(Ending::Busy), _)) => format!("Nobody's phone rang: {callee} was busy with another call."),
        Some((entry, Some(Ending::Rejected | Ending::Cancelled), Some(by))) if by.user == *callee => {
            format!("It rang: {} declined after {}.", name(by), case.after(entry))
        }
        Some((entry, Some(Ending::NoAnswer), _)) => {
            format!("{} Nobody answered for {}.", case.ring(), case.after(entry))
        }
        Some((entry, Some(Ending::Cancelled), _)) => {
            format!("{} The caller hung up after {}.", case.ring(), case.after(entry))
        }
        Some((entry, Some(Ending::ConnectionLost), _)) => {
            format!("{} It was over after {}: the caller had lost the connection.", case.ring(), case.after(entry))
        }
        Some((entry, _, _)) => format!("{} It was over after {}.", case.ring(), case.after(entry)),
        None => format!("{} It has not ended.", case.ring()),
    }
}

fn over_after(case: &Case<'_>, ended: &Entry) -> String {
    let What::Ended { how, .. } = &ended.what else { return String::new() };
    format!("{} after {}", over(how), case.after(ended))
}

fn by_whom(by: Option<&Who>) -> String {
    by.map(|by| format!(", by {}", name(by))).unwrap_or_default()
}

/// A call, and what was noted of it.
struct Case<'a> {
    entries: &'a [Entry],
    begun_at: u64,
    caller: &'a Who,
    callee: &'a str,
    devices: &'a [Known],
}

impl<'a> Case<'a> {
    fn after(&self, entry: &Entry) -> String {
        span(entry.at.saturating_sub(self.begun_at))
    }

    fn answer(&self) -> Option<(&'a Entry, &'a Who)> {
        self.entries.iter().find_map(|entry| match &entry.what {
            What::Answered { by } => Some((entry, by)),
            _ => None,
        })
    }

    fn end(&self) -> Option<(&'a Entry, Option<Ending>, Option<&'a Who>)> {
        self.entries.iter().find_map(|entry| match &entry.what {
            What::Ended { how, by } => Some((entry, ending(how), by.as_ref())),
            _ => None,
        })
    }

    /// The devices of the callee for which `picked` has something to say, with the last of it.
    fn each<T>(&self, picked: impl Fn(&'a Entry) -> Option<(&'a Who, T)>) -> Vec<(&'a Who, T)> {
        let mut found: Vec<(&Who, T)> = Vec::new();
        for (who, what) in self.entries.iter().filter_map(picked) {
            if who.user != self.callee || *who == *self.caller {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == who) {
                Some(known) => known.1 = what,
                None => found.push((who, what)),
            }
        }
        found
    }

    /// Whether it rang anywhere, and if not, why, as far as anybody knows.
    fn ring(&self) -> String {
        let has_it = self.each(|entry| match &entry.what {
            What::Acknowledged { by } => Some((by, ())),
            _ => None,
        });
        if !has_it.is_empty() {
            let names: Vec<_> = has_it.iter().map(|(who, ())| name(who)).collect();
            return format!("It rang on {}, which had the call and was heard from.", names.join(", "));
        }
        let mut reasons = self.sent();
        reasons.extend(self.pushed());
        reasons.extend(self.untold());
        format!("Nobody's phone is known to have rung: {}.", reasons.join("; "))
    }

    /// Of the devices that were sent the ring over their connection.
    fn sent(&self) -> Vec<String> {
        let sent = self.each(|entry| match &entry.what {
            What::Delivered { to, message } if message == RING => Some((to, Ok(entry.at))),
            What::Undelivered { to, message, why } if message == RING => Some((to, Err(why))),
            _ => None,
        });
        let reason = |(who, sent): (&Who, Result<u64, &String>)| match sent {
            Ok(at) => format!("it was sent to {} but never acknowledged: {}", name(who), self.silence(who, at)),
            Err(why) => format!("it could not be sent to {}: {why}", name(who)),
        };
        sent.into_iter().map(reason).collect()
    }

    /// How long nothing was heard from a device after it was sent the ring.
    fn silence(&self, who: &Who, sent_at: u64) -> String {
        let noted = self.entries.iter().find_map(|entry| match &entry.what {
            What::Silent { by, gone } if by == who && entry.at >= sent_at => Some((entry.at, *gone)),
            _ => None,
        });
        let ended_at = self.end().map(|(entry, _, _)| entry.at);
        let until = noted.map(|(at, _)| at).or(ended_at).or(self.entries.last().map(|entry| entry.at));
        let millis = until.unwrap_or(sent_at).saturating_sub(sent_at);
        let heard = format!("nothing was heard from it for {}", span(millis));
        match noted {
            Some((_, true)) => format!("{heard}, then its connection was gone"),
            _ if millis < TELLING => format!("{heard}, which may be too short to mean anything"),
            _ => heard,
        }
    }

    /// Of the devices that were pushed to, or were to be.
    fn pushed(&self) -> Vec<String> {
        let pushed = self.each(|entry| match &entry.what {
            What::Pushed { to, service, kind, outcome, why } if kind == "ring" => {
                Some((to, (service.as_str(), outcome.as_str(), why.as_deref())))
            }
            _ => None,
        });
        let has_asked = self.entries.iter().any(
            |entry| matches!(&entry.what, What::StatusAsked { user, .. } if user.as_deref().is_none_or(|user| user == self.callee)),
        );
        let mut reasons: Vec<_> = pushed
            .into_iter()
            .map(|(who, (service, outcome, why))| {
                let device = name(who);
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                match outcome {
                    "sent" if self.has_registered(who) => {
                        format!("{service} took the push for {device}, which has registered since")
                    }
                    "sent" if has_asked => {
                        format!("{service} took the push for {device}, and an app was woken and asked for the call")
                    }
                    "sent" => format!("{service} took the push for {device}, whose app was not heard from"),
                    "token_dead" => format!("{service} says that the push token of {device} is dead{why}"),
                    "refused" => format!("{service} refuses the push for {device}{why}"),
                    "retried" | "given_up" => format!("{service} did not take the push for {device}{why}"),
                    "dropped" => format!("the push for {device} was dropped: too many waited for {service}"),
                    "called_off" => format!("the push for {device} was called off before it went out"),
                    other => format!("{service}, for {device}: {other}{why}"),
                }
            })
            .collect();
        reasons.extend(self.entries.iter().filter_map(|entry| match &entry.what {
            What::NotPushed { kind, why } if kind == "ring" => Some(format!("no push was tried: {why}")),
            _ => None,
        }));
        reasons
    }

    /// Of the devices of which nothing was noted at all.
    fn untold(&self) -> Vec<String> {
        if self.devices.is_empty() {
            return vec![format!(
                "{} has no device: nobody has registered by that id, or not for long, or has signed out",
                self.callee
            )];
        }
        let is_asleep = |known: &Known| !known.connected && known.tokens.is_empty();
        if self.devices.iter().all(is_asleep) {
            return vec![format!("no device of {} was connected and none has a push token", self.callee)];
        }
        let unnoted = self.devices.iter().filter(|known| !self.is_noted(known));
        unnoted
            .map(|known| {
                let device = format!("{}/{}", self.callee, known.device);
                match (known.connected, known.tokens.is_empty()) {
                    (true, _) => format!("{device} was connected, but nothing says that it was sent the call"),
                    (false, true) => format!("{device} was not connected and has no push token"),
                    (false, false) => format!(
                        "{device} was not connected, and no push to it is noted: is the service for its token ({}) configured?",
                        known.tokens.join(", ")
                    ),
                }
            })
            .collect()
    }

    fn is_noted(&self, known: &Known) -> bool {
        let is_it = |who: &Who| who.user == self.callee && who.device == known.device;
        self.entries.iter().any(|entry| match &entry.what {
            What::Delivered { to, message } | What::Undelivered { to, message, .. } => is_it(to) && message == RING,
            What::Pushed { to, kind, .. } => is_it(to) && kind == "ring",
            What::NotPushed { kind, .. } => kind == "ring" && !known.connected,
            _ => false,
        })
    }

    fn has_registered(&self, who: &Who) -> bool {
        self.entries.iter().any(|entry| matches!(&entry.what, What::Registered { by } if by == who))
    }
}
