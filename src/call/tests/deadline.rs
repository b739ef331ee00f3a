//! When a call wants to be looked at again, and whom it waits for.

use crate::call::tests::{Trace, away, by, device, user};
use crate::call::{Outcome, Party};

fn party(who: &str) -> Party {
    let actor = by(who);
    Party { user: actor.user, device: actor.device }
}

#[test]
fn a_ringing_call_waits_for_an_answer_or_for_its_caller() {
    let trace = Trace::ringing().waits_until(45_000);
    assert!(trace.call.away_parties().is_empty());
    let trace = trace.at(5_000).changes(away("alice/a1"), vec![]).waits_until(20_000);
    assert_eq!(trace.call.away_parties(), [party("alice/a1")]);
}

#[test]
fn the_patience_with_a_caller_does_not_outlast_the_ringing() {
    Trace::ringing().at(40_000).changes(away("alice/a1"), vec![]).waits_until(45_000);
}

#[test]
fn an_accepted_call_waits_for_whoever_is_given_up_first() {
    let end = 3_601_000;
    let trace = Trace::accepted().waits_until(end);
    assert!(trace.call.away_parties().is_empty());
    let caller_away = trace.clone().at(10_000).changes(away("alice/a1"), vec![]).waits_until(70_000);
    assert_eq!(caller_away.call.away_parties(), [party("alice/a1")]);
    let callee_away = trace.clone().at(10_000).changes(away("bob/b1"), vec![]).waits_until(70_000);
    assert_eq!(callee_away.call.away_parties(), [party("bob/b1")]);
    let both = callee_away.at(11_000).changes(away("alice/a1"), vec![]).waits_until(70_000);
    assert_eq!(both.call.away_parties(), [party("alice/a1"), party("bob/b1")]);
    trace.at(end - 1_000).changes(away("bob/b1"), vec![]).waits_until(end);
}

#[test]
fn a_call_that_is_over_waits_for_nothing() {
    let Trace { call, .. } = Trace::over(Outcome::Rejected);
    assert_eq!(call.deadline(), None);
}

#[test]
fn it_knows_its_parties() {
    let Trace { call, .. } = Trace::ringing();
    assert!(call.is_live() && call.has_party(&user("alice")) && call.has_party(&user("bob")));
    assert!(!call.has_party(&user("mallory")));
    assert!(call.caller.is(&user("alice"), &device("a1")) && !call.caller.is(&user("bob"), &device("a1")));
}
