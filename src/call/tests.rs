//! Traces: given this call, this command at that time, exactly these effects and this state.
//!
//! Alice calls Bob from her device `a1` at 0 ms. Bob has the devices `b1`, `b2`, …; Mallory is nobody in this call. Times are
//! in milliseconds.

mod accepted;
mod deadline;
mod initiate;
mod milestone;
mod over;
mod property;
mod ringing;

use std::time::Duration;

use crate::call::{
    Accepted, Actor, Audience, Call, CallType, CallerDisplay, Command, Decision, Effect, Elsewhere, EndReason, Event,
    Hangup, Notice, Outcome, Party, Refusal, Ringing, Rules, Silence, State, Text, Wake,
};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

const RULES: Rules = Rules {
    ring_timeout: Duration::from_secs(45),
    caller_away_timeout: Duration::from_secs(15),
    away_timeout: Duration::from_secs(60),
    max_duration: Duration::from_secs(3_600),
    busy_window: Duration::from_secs(300),
};

fn call_id() -> CallId {
    CallId::from_u128(1)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn text(text: &str) -> Option<Text> {
    Text::parse(text)
}

/// A user by a registered device: `bob/b1`.
fn by(who: &str) -> Actor {
    let (user_name, device_name) = who.split_once('/').unwrap();
    Actor { user: user(user_name), device: device(device_name), registered: true }
}

/// A user by a socket that has not registered.
fn unregistered(who: &str) -> Actor {
    Actor { registered: false, ..by(who) }
}

fn accept(by: Actor) -> Command {
    Command::Accept { by }
}

fn reject(by: Actor) -> Command {
    Command::Reject { by, reason: None }
}

fn end(by: Actor) -> Command {
    Command::End { by, hangup: Hangup::Said(None) }
}

fn away(who: &str) -> Command {
    let Actor { user, device, .. } = by(who);
    Command::Away { user, device }
}

fn back(who: &str) -> Command {
    let Actor { user, device, .. } = by(who);
    Command::Back { user, device, formerly: None }
}

/// The socket that was called `formerly` has registered as this device.
fn renamed(who: &str, formerly: &str) -> Command {
    let Actor { user, device: now_called, .. } = by(who);
    Command::Back { user, device: now_called, formerly: Some(device(formerly)) }
}

fn tell(name: &str, audience: Audience, event: Event) -> Effect {
    // The trace puts its own time in place of this one.
    Effect::Tell { user: user(name), audience, notice: Notice { call_id: call_id(), at: Timestamp(0), event } }
}

/// To one device.
fn only(who: &str, event: Event) -> Effect {
    let Actor { user, device, .. } = by(who);
    tell(user.as_str(), Audience::Only(device), event)
}

/// To every device of Bob.
fn all_of_bob(event: Event) -> Effect {
    tell("bob", Audience::All, event)
}

/// To every device of Bob but this.
fn bob_except(except: &str, elsewhere: Elsewhere) -> Effect {
    tell("bob", Audience::Except(device(except)), Event::Cancelled(elsewhere))
}

fn wake(wake: Wake) -> Effect {
    Effect::Wake { user: user("bob"), wake }
}

/// No device of Bob rings any more.
fn stopped(why: Silence) -> Effect {
    wake(Wake::Stop { why, except: None })
}

fn missed() -> Effect {
    wake(Wake::Missed)
}

/// The other devices of Bob ring no more: this one has answered.
fn others_answered(except: &str) -> Effect {
    wake(Wake::Stop { why: Silence::Elsewhere(Elsewhere::Answered), except: Some(device(except)) })
}

/// The same, declined.
fn others_declined(except: &str) -> Effect {
    wake(Wake::Stop { why: Silence::Elsewhere(Elsewhere::Declined), except: Some(device(except)) })
}

fn accepted_event() -> Event {
    Event::Accepted { callee: user("bob") }
}

fn ended_by(name: &str, reason: EndReason) -> Event {
    Event::Ended { ended_by: Some(user(name)), reason }
}

fn hung_up() -> EndReason {
    EndReason::HungUp(None)
}

/// Rings until `until`; given up at `given_up_at` if the caller is away.
fn rings(until: u64, given_up_at: Option<u64>) -> State {
    State::Ringing(Ringing { until: Timestamp(until), caller_given_up_at: given_up_at.map(Timestamp) })
}

/// Answered at `at` by Bob's `callee`, with the times at which Alice and Bob are given up.
fn talks(at: u64, callee: &str, alice_given_up_at: Option<u64>, bob_given_up_at: Option<u64>) -> State {
    State::Accepted(Accepted {
        at: Timestamp(at),
        until: Timestamp(at + 3_600_000),
        callee_device: device(callee),
        caller_given_up_at: alice_given_up_at.map(Timestamp),
        callee_given_up_at: bob_given_up_at.map(Timestamp),
    })
}

/// A call, and what becomes of it.
#[derive(Clone)]
struct Trace {
    call: Call,
    now: Timestamp,
}

#[expect(clippy::needless_pass_by_value, reason = "a trace reads better without ampersands")]
impl Trace {
    /// Alice's `a1` rings Bob since 0 ms.
    fn ringing() -> Self {
        let call = Call {
            id: call_id(),
            caller: Party { user: user("alice"), device: device("a1") },
            callee: user("bob"),
            call_type: CallType::Video,
            display: CallerDisplay { name: text("Alice"), avatar: None },
            request_id: None,
            created_at: Timestamp(0),
            state: rings(45_000, None),
        };
        Self { call, now: Timestamp(0) }
    }

    /// Bob's `b1` has answered at 1000 ms.
    fn accepted() -> Self {
        let Self { call, .. } = Self::ringing();
        Self { call: Call { state: talks(1_000, "b1", None, None), ..call }, now: Timestamp(1_000) }
    }

    /// It has ended at 2000 ms.
    fn over(outcome: Outcome) -> Self {
        let Self { call, .. } = Self::ringing();
        Self { call: call.over(Timestamp(2_000), outcome), now: Timestamp(2_000) }
    }

    fn at(mut self, now: u64) -> Self {
        assert!(now >= self.now.0, "a trace goes forward");
        self.now = Timestamp(now);
        self
    }

    /// The command changes the call, with exactly these effects.
    #[track_caller]
    fn changes(mut self, command: Command, effects: Vec<Effect>) -> Self {
        let Ok(Decision::Changed(transition)) = self.call.decide(command.clone(), self.now, &RULES) else {
            panic!("{command:?} does not change {:?}", self.call);
        };
        let expected: Vec<_> = effects.into_iter().map(|effect| self.stamped(effect)).collect();
        assert_eq!(transition.effects, expected, "the effects of {command:?}");
        let fixed = |call: &Call| (call.id, call.callee.clone(), call.caller.user.clone(), call.created_at);
        assert_eq!(fixed(&transition.call), fixed(&self.call), "{command:?} changes what never does");
        self.call = transition.call;
        self
    }

    /// The command is taken, and nothing comes of it.
    #[track_caller]
    fn stays(self, command: Command) -> Self {
        assert_eq!(self.call.decide(command.clone(), self.now, &RULES), Ok(Decision::Unchanged), "{command:?}");
        self
    }

    #[track_caller]
    fn refuses(self, command: Command, refusal: Refusal) -> Self {
        assert_eq!(self.call.decide(command.clone(), self.now, &RULES), Err(refusal), "{command:?}");
        self
    }

    #[track_caller]
    fn is(self, state: State) -> Self {
        assert_eq!(self.call.state, state);
        self
    }

    /// It ended just now, in this way.
    #[track_caller]
    fn ends_as(self, outcome: Outcome) -> Self {
        let State::Over(over) = &self.call.state else { panic!("{:?} is not over", self.call.state) };
        assert_eq!((over.at, &over.outcome), (self.now, &outcome));
        assert_eq!(self.call.deadline(), None);
        self
    }

    /// The caller takes part by this device.
    #[track_caller]
    fn caller_is(self, name: &str) -> Self {
        assert_eq!(self.call.caller.device, device(name));
        self
    }

    #[track_caller]
    fn waits_until(self, deadline: u64) -> Self {
        assert_eq!(self.call.deadline(), Some(Timestamp(deadline)));
        self
    }

    fn stamped(&self, effect: Effect) -> Effect {
        match effect {
            Effect::Tell { user, audience, notice } => {
                Effect::Tell { user, audience, notice: Notice { at: self.now, ..notice } }
            }
            Effect::Wake { user, wake } => Effect::Wake { user, wake },
        }
    }
}
