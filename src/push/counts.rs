//! How many messages there were, and what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::push::Kind;

/// What becomes of a message to one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The service has taken it.
    Sent,
    /// The token is dead.
    TokenDead,
    /// The service refuses it.
    Refused,
    /// An attempt failed, and another one follows. All others are the end of a message.
    Retried,
    /// It did not go through in time.
    GivenUp,
    /// The call was over before it went through.
    CalledOff,
    /// There were too many.
    Dropped,
}

const KINDS: [(Kind, &str); 3] = [(Kind::Ring, "ring"), (Kind::Stop, "stop"), (Kind::Missed, "missed")];
const FATES: [(Fate, &str); 7] = [
    (Fate::Sent, "sent"),
    (Fate::TokenDead, "token_dead"),
    (Fate::Refused, "refused"),
    (Fate::Retried, "retried"),
    (Fate::GivenUp, "given_up"),
    (Fate::CalledOff, "called_off"),
    (Fate::Dropped, "dropped"),
];

impl Fate {
    /// Its word among the counts.
    pub fn word(self) -> &'static str {
        FATES[self as usize].1
    }
}

impl Kind {
    /// Its word among the counts.
    pub(super) fn word(self) -> &'static str {
        KINDS[self as usize].1
    }
}

/// The counts of one provider.
#[derive(Debug, Default)]
pub(super) struct Counts([[AtomicU64; FATES.len()]; KINDS.len()]);

/// How many messages of one kind one provider had that ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The provider.
    pub provider: &'static str,
    /// What the messages were about.
    pub kind: &'static str,
    /// What became of them.
    pub outcome: &'static str,
    /// How many, since the start.
    pub count: u64,
}

impl Counts {
    pub(super) fn note(&self, kind: Kind, fate: Fate) {
        self.0[kind as usize][fate as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, zeros included.
    pub(super) fn snapshot(&self, provider: &'static str) -> Vec<Count> {
        let of_kind = |(kind, name): (Kind, &'static str)| {
            FATES.map(|(fate, outcome)| Count {
                provider,
                kind: name,
                outcome,
                count: self.0[kind as usize][fate as usize].load(Ordering::Relaxed),
            })
        };
        KINDS.into_iter().flat_map(of_kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_fate_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (kind, _) in KINDS {
            for (fate, _) in FATES {
                counts.note(kind, fate);
            }
        }
        counts.note(Kind::Stop, Fate::GivenUp);
        let snapshot = counts.snapshot("fcm");
        assert_eq!(snapshot.len(), 21);
        for Count { provider, kind, outcome, count } in snapshot {
            assert_eq!((provider, count), ("fcm", if (kind, outcome) == ("stop", "given_up") { 2 } else { 1 }));
        }
    }
}
