//! Where push services reach devices. What kinds of tokens there are is said here, and nowhere else: a further service adds one to
//! [`PushTokenKind`], and both `register` and the backplanes have it.

use std::fmt;
use std::sync::Arc;

use crate::ids::is_printable;

/// Where a push service reaches one installation of the app. Whoever has it can send there, so it is shown nowhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushToken(Arc<str>);

impl PushToken {
    /// Longest token, in characters: several times what any service hands out.
    pub const MAX_CHARS: usize = 4096;

    /// The token, or `None` where `text` is not 1 to 4096 printable characters.
    pub fn parse(text: &str) -> Option<Self> {
        (is_printable(text, Self::MAX_CHARS) && !text.trim().is_empty()).then(|| Self(text.into()))
    }

    /// The token as text: to be sent to its service, or kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken([redacted])")
    }
}

/// Which service a push token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushTokenKind {
    /// Firebase Cloud Messaging.
    Fcm,
    /// Apple's push service, for PushKit (VoIP).
    ApnsVoip,
}

impl PushTokenKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Fcm, Self::ApnsVoip];

    /// The field of `register` that brings such a token.
    pub fn field(self) -> &'static str {
        match self {
            Self::Fcm => "fcmToken",
            Self::ApnsVoip => "apnsVoipToken",
        }
    }

    /// By what name such tokens are kept.
    pub fn key(self) -> &'static str {
        match self {
            Self::Fcm => "push",
            Self::ApnsVoip => "voip",
        }
    }
}

/// Where one installation of the app is reached; at most one token of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushTokens([Option<PushToken>; PushTokenKind::ALL.len()]);

impl PushTokens {
    /// These, and of `older` those whose kind is missing here.
    #[must_use]
    pub fn or(self, older: Self) -> Self {
        let mut older = older.0.into_iter();
        Self(self.0.map(|token| token.or(older.next().flatten())))
    }

    /// The token of this kind.
    pub fn of(&self, kind: PushTokenKind) -> Option<&PushToken> {
        self.0[kind as usize].as_ref()
    }

    /// Each token, and its kind.
    pub fn iter(&self) -> impl Iterator<Item = (PushTokenKind, &PushToken)> {
        PushTokenKind::ALL.into_iter().filter_map(|kind| Some((kind, self.of(kind)?)))
    }

    /// Takes out `token`, if it is the one of this kind.
    pub fn forget(&mut self, kind: PushTokenKind, token: &PushToken) {
        self.0[kind as usize].take_if(|kept| kept == token);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl FromIterator<(PushTokenKind, PushToken)> for PushTokens {
    fn from_iter<I: IntoIterator<Item = (PushTokenKind, PushToken)>>(tokens: I) -> Self {
        let mut all = Self::default();
        for (kind, token) in tokens {
            all.0[kind as usize] = Some(token);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_tokens_go_before_older_ones_of_their_kind() {
        let token = |text| PushToken::parse(text).unwrap();
        let tokens = |fcm, voip| -> PushTokens {
            let both = [(PushTokenKind::Fcm, fcm), (PushTokenKind::ApnsVoip, voip)];
            both.into_iter().filter_map(|(kind, text): (_, Option<&str>)| Some((kind, token(text?)))).collect()
        };
        assert_eq!(tokens(Some("f2"), None).or(tokens(Some("f1"), Some("v1"))), tokens(Some("f2"), Some("v1")));
        let mut left = tokens(Some("f"), Some("v"));
        left.forget(PushTokenKind::Fcm, &token("v"));
        assert_eq!(left, tokens(Some("f"), Some("v")));
        left.forget(PushTokenKind::Fcm, &token("f"));
        assert_eq!(left, tokens(None, Some("v")));
        assert!(!left.is_empty() && PushTokens::default().is_empty());
        for (index, kind) in PushTokenKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}
