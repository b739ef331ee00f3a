//! A call that is over: nothing changes any more, and ending it again is no mistake.

use crate::call::tests::{RULES, Trace, accept, away, back, by, end, hung_up, reject, renamed, unregistered};
use crate::call::{Command, Decision, EndReason, Outcome, Refusal, State, Verb};
use crate::clock::Timestamp;

/// Every way to end, with the documented word for it.
fn outcomes() -> [(Outcome, &'static str); 6] {
    [
        (Outcome::Rejected, "rejected"),
        (Outcome::TimedOut, "timeout"),
        (Outcome::Ended(hung_up()), "ended"),
        (Outcome::Ended(EndReason::Replaced), "ended"),
        (Outcome::Ended(EndReason::ConnectionLost), "ended"),
        (Outcome::Ended(EndReason::MaxDuration), "ended"),
    ]
}

#[test]
fn it_is_too_late_to_answer_or_decline() {
    for (outcome, state) in outcomes() {
        for actor in [by("bob/b1"), by("bob/b2"), unregistered("bob/s7")] {
            Trace::over(outcome.clone())
                .refuses(accept(actor.clone()), Refusal::WrongState { verb: Verb::Accepted, state })
                .refuses(reject(actor), Refusal::WrongState { verb: Verb::Rejected, state });
        }
        for who in ["alice/a1", "mallory/b1"] {
            Trace::over(outcome.clone())
                .refuses(accept(by(who)), Refusal::NotTheCallee)
                .refuses(reject(by(who)), Refusal::NotTheCallee);
        }
    }
}

#[test]
fn the_parties_may_hang_up_again_and_strangers_may_not() {
    for (outcome, _) in outcomes() {
        let mut trace = Trace::over(outcome);
        for actor in [by("alice/a1"), by("alice/a2"), by("bob/b1"), by("bob/b2"), unregistered("bob/s7")] {
            trace = trace.stays(end(actor));
        }
        trace.refuses(end(by("mallory/m1")), Refusal::NotAParticipant);
    }
}

#[test]
fn coming_and_going_and_time_mean_nothing() {
    for (outcome, _) in outcomes() {
        let mut trace = Trace::over(outcome.clone()).at(100_000_000).stays(Command::Expire);
        for who in ["alice/a1", "bob/b1", "mallory/m1"] {
            trace = trace.stays(away(who)).stays(back(who)).stays(renamed(who, "a1"));
        }
        let over = Trace::over(outcome);
        assert_eq!(trace.call, over.call);
        assert!(!trace.call.is_live());
        assert!(trace.call.away_parties().is_empty());
    }
}

#[test]
fn nobody_hears_anybody() {
    for trace in [Trace::over(Outcome::Ended(hung_up())), Trace::ringing()] {
        for who in ["alice/a1", "bob/b1"] {
            assert_eq!(trace.call.peer_of(&by(who)), Err(Refusal::NotActive));
        }
        assert_eq!(trace.call.peer_of(&by("mallory/m1")), Err(Refusal::NotAParticipant));
    }
}

#[test]
fn it_remembers_when_it_was_answered() {
    let accepted_at = |trace: Trace| {
        let State::Over(over) = trace.call.state else { panic!("the call is not over") };
        over.accepted_at
    };
    let hang_up = |trace: Trace, at| {
        let trace = trace.at(at);
        let decision = trace.call.decide(end(by("alice/a1")), trace.now, &RULES);
        let Ok(Decision::Changed(transition)) = decision else { panic!("{decision:?}") };
        Trace { call: transition.call, now: trace.now }
    };
    assert_eq!(accepted_at(hang_up(Trace::ringing(), 5_000)), None);
    assert_eq!(accepted_at(hang_up(Trace::accepted(), 5_000)), Some(Timestamp(1_000)));
}
