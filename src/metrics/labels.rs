//! The values that labels may have: closed sets, each known at compile time.

/// A label, or several.
pub trait Label: Copy + 'static {
    /// How many values there are.
    const COUNT: usize;
    /// Whether each has a series from the start, so that a rate over the first event is seen. Not where most never happen.
    const FROM_THE_START: bool;

    /// The names of the labels.
    fn names() -> Vec<&'static str>;

    /// Every value.
    fn all() -> Vec<Self>;

    /// Its place among all, below [`Label::COUNT`].
    fn index(self) -> usize;

    /// Its words, as many as there are names.
    fn words(self) -> Vec<&'static str>;
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;
    const FROM_THE_START: bool = false;

    fn names() -> Vec<&'static str> {
        [A::names(), B::names()].concat()
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn words(self) -> Vec<&'static str> {
        [self.0.words(), self.1.words()].concat()
    }
}

macro_rules! label {
    ($(#[$about:meta])* $name:ident($label:literal) { $($variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the words say it")]
        pub enum $name {
            $($variant,)+
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The value with this word.
            pub fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Label for $name {
            const COUNT: usize = Self::WORDS.len();
            const FROM_THE_START: bool = true;

            fn names() -> Vec<&'static str> {
                vec![$label]
            }

            fn all() -> Vec<Self> {
                vec![$(Self::$variant,)+]
            }

            fn index(self) -> usize {
                self as usize
            }

            fn words(self) -> Vec<&'static str> {
                vec![Self::WORDS[self.index()]]
            }
        }
    };
}

label! {
    /// What became of a client that came.
    Connect("result") {
        Accepted = "accepted",
        TokenMissing = "token_missing",
        TokenInvalid = "token_invalid",
        TokenExpired = "token_expired",
        TokenNotYetValid = "token_not_yet_valid",
        KeysUnavailable = "keys_unavailable",
        UserHasTooMany = "user_has_too_many",
        Full = "full",
        Draining = "draining",
    }
}

label! {
    /// What came of reading the configuration again.
    Reload("outcome") {
        Applied = "applied",
        Unchanged = "unchanged",
        Invalid = "invalid",
    }
}

label! {
    /// How a TLS handshake ended that came to nothing.
    Handshake("reason") {
        Failed = "failed",
        TimedOut = "timed_out",
    }
}

label! {
    /// How a connection ended.
    Left("reason") {
        TransportClosed = "transport_closed",
        TransportFailed = "transport_failed",
        HeartbeatMissed = "heartbeat_missed",
        Client = "client",
        Server = "server",
        Malformed = "malformed",
    }
}

label! {
    /// What clients ask for.
    EventIn("event") {
        Register = "register",
        Unregister = "unregister",
        TokenRefresh = "token_refresh",
        GetIceServers = "get_ice_servers",
        Initiate = "call_initiate",
        Accept = "call_accept",
        Reject = "call_reject",
        End = "call_end",
        Offer = "sdp_offer",
        Answer = "sdp_answer",
        Candidate = "ice_candidate",
        Ping = "ping",
        Pong = "pong",
        Unread = "unread",
    }
}

label! {
    /// What they are answered: the documented codes, or that the connection is closed.
    Answer("result") {
        Ok = "ok",
        E001 = "E001",
        E003 = "E003",
        E004 = "E004",
        E005 = "E005",
        E101 = "E101",
        E102 = "E102",
        E203 = "E203",
        E301 = "E301",
        E302 = "E302",
        E303 = "E303",
        E304 = "E304",
        E500 = "E500",
        E501 = "E501",
        E502 = "E502",
        Closed = "closed",
    }
}

label! {
    /// What clients are told.
    EventOut("event") {
        Incoming = "incoming_call",
        Accept = "call_accept",
        Reject = "call_reject",
        End = "call_end",
        TimeOut = "call_timeout",
        Cancelled = "call_cancelled",
        Offer = "sdp_offer",
        Answer = "sdp_answer",
        Candidate = "ice_candidate",
        IceServers = "ice_servers",
        Registered = "registered",
        RegistrationError = "registration_error",
        Error = "error",
        Pong = "pong",
        Other = "other",
    }
}

label! {
    /// Whether they could be told.
    Sending("result") {
        Sent = "sent",
        Full = "queue_full",
        Gone = "gone",
    }
}

label! {
    /// How calls end.
    Ended("reason") {
        HungUp = "hung_up",
        Cancelled = "cancelled",
        Rejected = "rejected",
        Busy = "busy",
        NoAnswer = "no_answer",
        Replaced = "replaced",
        ConnectionLost = "connection_lost",
        MaxDuration = "max_duration",
    }
}

label! {
    /// What came of the ringing.
    Rung("outcome") {
        Answered = "answered",
        Unanswered = "unanswered",
    }
}

label! {
    /// What the backplane is asked for.
    Operation("operation") {
        Load = "load",
        LiveCalls = "live_calls",
        Prospect = "prospect",
        Commit = "commit",
        Attach = "attach",
        Renew = "renew",
        NoteUnregistered = "note_unregistered",
        Detach = "detach",
        Forget = "forget",
        ForgetToken = "forget_token",
        Devices = "devices",
        Bury = "bury",
        Told = "told",
        PutOff = "put_off",
        Untold = "untold",
        Note = "note",
        Timeline = "timeline",
        Subscribe = "subscribe",
        Unsubscribe = "unsubscribe",
        Send = "send",
        Read = "read",
    }
}

label! {
    /// By what a node learned that a deadline has passed: its own timer, a look at those of all nodes, or a notice of Redis.
    FoundBy("source") {
        Timer = "timer",
        Sweep = "sweep",
        Event = "event",
    }
}

label! {
    /// Whether a message was sent by this node or by another one.
    Road("path") {
        Local = "local",
        Remote = "remote",
    }
}

label! {
    /// What has a bound and is waited in.
    Queue("queue") {
        Push = "push",
        PushServices = "push_services",
        Departures = "departures",
    }
}

label! {
    /// Why a client was told to leave for good.
    Expelled("reason") {
        Displaced = "displaced",
        RateLimited = "rate_limited",
    }
}

label! {
    /// Which limit a client has met.
    Limit("limit") {
        Events = "events",
        Calls = "calls",
        Patience = "patience",
        Mailbox = "mailbox",
    }
}

label! {
    /// What a client did not take.
    Slow("of") {
        Events = "events",
        Answers = "answers",
    }
}

label! {
    /// Why no push was tried.
    NotPushed("reason") {
        QueueFull = "queue_full",
        NotLookedUp = "not_looked_up",
    }
}

label! {
    /// What is told of calls.
    WebhookEvent("event") {
        Started = "call.started",
        Answered = "call.answered",
        Ended = "call.ended",
        Missed = "call.missed",
    }
}

label! {
    /// What became of that.
    WebhookOutcome("outcome") {
        Taken = "taken",
        Refused = "refused",
        GivenUp = "given_up",
    }
}
