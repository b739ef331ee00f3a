//! A ringing call, command by command.

use crate::call::tests::{
    Trace, accept, accepted_event, all_of_bob, away, back, bob_except, by, end, ended_by, hung_up, missed, only,
    others_answered, others_declined, reject, renamed, rings, stopped, talks, text, unregistered, user,
};
use crate::call::{Command, Effect, Elsewhere, EndReason, Event, Hangup, Outcome, Refusal, Silence};

fn time_out() -> Vec<Effect> {
    vec![only("alice/a1", Event::NoAnswer), all_of_bob(Event::Missed), stopped(Silence::TimedOut), missed()]
}

#[test]
fn the_device_that_answers_gets_the_call_and_the_others_are_told() {
    Trace::ringing()
        .at(1_000)
        .changes(
            accept(by("bob/b1")),
            vec![only("alice/a1", accepted_event()), bob_except("b1", Elsewhere::Answered), others_answered("b1")],
        )
        .is(talks(1_000, "b1", None, None));
}

#[test]
fn a_socket_may_answer_before_it_registers_and_keeps_the_call_when_it_does() {
    Trace::ringing()
        .at(1_000)
        .changes(
            accept(unregistered("bob/s7")),
            vec![only("alice/a1", accepted_event()), bob_except("s7", Elsewhere::Answered)],
        )
        .is(talks(1_000, "s7", None, None))
        .changes(renamed("bob/b1", "s7"), vec![])
        .is(talks(1_000, "b1", None, None));
}

#[test]
fn an_answer_counts_until_the_deadline_and_not_at_it() {
    Trace::ringing().at(44_999).changes(
        accept(by("bob/b1")),
        vec![only("alice/a1", accepted_event()), bob_except("b1", Elsewhere::Answered), others_answered("b1")],
    );
    for late in [45_000, 45_001, 500_000] {
        Trace::ringing().at(late).changes(accept(by("bob/b1")), time_out()).ends_as(Outcome::TimedOut);
    }
}

#[test]
fn a_late_answer_by_somebody_else_times_nothing_out() {
    Trace::ringing().at(45_000).refuses(accept(by("alice/a1")), Refusal::NotTheCallee);
}

#[test]
fn an_answer_gives_an_absent_caller_the_longer_patience() {
    Trace::ringing()
        .at(5_000)
        .changes(away("alice/a1"), vec![])
        .is(rings(45_000, Some(20_000)))
        .at(19_000)
        .changes(
            accept(by("bob/b1")),
            vec![only("alice/a1", accepted_event()), bob_except("b1", Elsewhere::Answered), others_answered("b1")],
        )
        .is(talks(19_000, "b1", Some(79_000), None));
}

#[test]
fn only_the_callee_answers_or_declines() {
    for who in ["alice/a1", "alice/a2", "mallory/m1", "mallory/b1"] {
        for actor in [by(who), unregistered(who)] {
            Trace::ringing()
                .refuses(accept(actor.clone()), Refusal::NotTheCallee)
                .refuses(reject(actor), Refusal::NotTheCallee);
        }
    }
}

#[test]
fn a_refusal_by_the_callee_ends_the_call_for_all() {
    for reason in [None, text("in a meeting")] {
        let declined = Event::Rejected { callee: user("bob"), reason: reason.clone() };
        Trace::ringing()
            .at(1_000)
            .changes(
                Command::Reject { by: by("bob/b1"), reason },
                vec![only("alice/a1", declined), bob_except("b1", Elsewhere::Declined), others_declined("b1")],
            )
            .ends_as(Outcome::Rejected);
    }
}

#[test]
fn a_refusal_after_the_deadline_stands_if_nobody_has_looked_before() {
    let declined = Event::Rejected { callee: user("bob"), reason: None };
    Trace::ringing()
        .at(45_100)
        .changes(
            reject(by("bob/b1")),
            vec![only("alice/a1", declined), bob_except("b1", Elsewhere::Declined), others_declined("b1")],
        )
        .ends_as(Outcome::Rejected);
}

#[test]
fn the_caller_hangs_up() {
    let told = ended_by("alice", EndReason::HungUp(text("changed my mind")));
    let hangup = Hangup::Said(text("changed my mind"));
    Trace::ringing()
        .at(1_000)
        .changes(
            Command::End { by: by("alice/a1"), hangup },
            vec![all_of_bob(told), stopped(Silence::Cancelled), missed()],
        )
        .ends_as(Outcome::Ended(EndReason::HungUp(text("changed my mind"))));
}

#[test]
fn another_device_of_the_caller_hangs_up_and_the_dialing_one_is_told() {
    let told = ended_by("alice", hung_up());
    Trace::ringing()
        .changes(
            end(by("alice/a2")),
            vec![all_of_bob(told.clone()), only("alice/a1", told), stopped(Silence::Cancelled), missed()],
        )
        .ends_as(Outcome::Ended(hung_up()));
}

#[test]
fn a_socket_hangs_up_for_the_caller_before_it_registers() {
    Trace::ringing().changes(
        end(unregistered("alice/s7")),
        vec![all_of_bob(ended_by("alice", hung_up())), stopped(Silence::Cancelled), missed()],
    );
}

#[test]
fn the_callee_hangs_up() {
    for (actor, stop) in [(by("bob/b1"), Some(others_declined("b1"))), (unregistered("bob/b1"), None)] {
        let told = [only("alice/a1", ended_by("bob", hung_up())), bob_except("b1", Elsewhere::Declined)];
        Trace::ringing()
            .at(1_000)
            .changes(end(actor), told.into_iter().chain(stop).collect())
            .ends_as(Outcome::Ended(hung_up()));
    }
}

#[test]
fn a_caller_who_turns_to_another_call_says_so() {
    let command = Command::End { by: by("alice/a1"), hangup: Hangup::Replaced };
    Trace::ringing()
        .changes(
            command,
            vec![all_of_bob(ended_by("alice", EndReason::Replaced)), stopped(Silence::Cancelled), missed()],
        )
        .ends_as(Outcome::Ended(EndReason::Replaced));
}

#[test]
fn a_stranger_ends_nothing() {
    for actor in [by("mallory/m1"), unregistered("mallory/a1")] {
        Trace::ringing().refuses(end(actor), Refusal::NotAParticipant);
    }
}

#[test]
fn a_caller_who_stays_away_ends_the_call() {
    let told = ended_by("alice", EndReason::ConnectionLost);
    Trace::ringing()
        .at(5_000)
        .changes(away("alice/a1"), vec![])
        .waits_until(20_000)
        .at(19_999)
        .stays(Command::Expire)
        .at(20_000)
        .changes(
            Command::Expire,
            vec![all_of_bob(told.clone()), only("alice/a1", told), stopped(Silence::Cancelled), missed()],
        )
        .ends_as(Outcome::Ended(EndReason::ConnectionLost));
}

#[test]
fn being_away_twice_is_not_waited_for_twice() {
    Trace::ringing()
        .at(5_000)
        .changes(away("alice/a1"), vec![])
        .at(9_000)
        .stays(away("alice/a1"))
        .is(rings(45_000, Some(20_000)));
}

#[test]
fn a_caller_who_comes_back_is_not_given_up() {
    Trace::ringing()
        .at(5_000)
        .changes(away("alice/a1"), vec![])
        .at(6_000)
        .changes(back("alice/a1"), vec![])
        .is(rings(45_000, None))
        .stays(back("alice/a1"))
        .at(20_000)
        .stays(Command::Expire)
        .changes(away("alice/a1"), vec![])
        .is(rings(45_000, Some(35_000)));
}

#[test]
fn a_caller_may_come_back_late_as_long_as_nobody_has_looked() {
    Trace::ringing()
        .changes(away("alice/a1"), vec![])
        .at(15_000)
        .changes(back("alice/a1"), vec![])
        .stays(Command::Expire);
}

#[test]
fn other_devices_come_and_go_without_mattering() {
    let trace = Trace::ringing().stays(back("alice/a1"));
    let away_caller = trace.clone().changes(away("alice/a1"), vec![]);
    for who in ["alice/a2", "bob/b1", "bob/a1", "mallory/a1"] {
        trace.clone().stays(away(who)).stays(back(who)).stays(renamed(who, "s7"));
        away_caller.clone().stays(away(who)).stays(back(who)).stays(renamed(who, "s7"));
    }
}

#[test]
fn a_caller_who_registers_by_name_takes_the_call_along() {
    Trace::ringing()
        .changes(renamed("alice/phone", "a1"), vec![])
        .caller_is("phone")
        .stays(renamed("alice/phone", "a1"))
        .stays(away("alice/a1"))
        .at(1_000)
        .changes(
            accept(by("bob/b1")),
            vec![only("alice/phone", accepted_event()), bob_except("b1", Elsewhere::Answered), others_answered("b1")],
        )
        .caller_is("phone");
}

#[test]
fn a_caller_who_comes_back_by_name_is_here() {
    Trace::ringing()
        .changes(away("alice/a1"), vec![])
        .changes(renamed("alice/phone", "a1"), vec![])
        .caller_is("phone")
        .is(rings(45_000, None));
}

#[test]
fn nobody_else_takes_the_callers_name() {
    Trace::ringing().stays(renamed("bob/b1", "a1")).stays(renamed("mallory/m1", "a1")).stays(renamed("alice/a2", "s7"));
}

#[test]
fn nobody_answers_in_time() {
    for at in [45_000, 45_001, 90_000] {
        Trace::ringing()
            .stays(Command::Expire)
            .at(44_999)
            .stays(Command::Expire)
            .at(at)
            .changes(Command::Expire, time_out())
            .ends_as(Outcome::TimedOut)
            .stays(Command::Expire);
    }
}

#[test]
fn a_deadline_that_both_waits_have_passed_is_a_time_out() {
    Trace::ringing()
        .changes(away("alice/a1"), vec![])
        .at(45_000)
        .changes(Command::Expire, time_out())
        .ends_as(Outcome::TimedOut);
}
