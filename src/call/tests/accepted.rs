//! An accepted call, command by command.

use crate::call::tests::{
    Trace, accept, away, back, by, device, end, ended_by, hung_up, only, reject, renamed, talks, text, unregistered,
    user,
};
use crate::call::{Actor, Command, EndReason, Event, Hangup, Outcome, Party, Refusal, Verb};

const MAX_DURATION_END: u64 = 1_000 + 3_600_000;

#[test]
fn it_is_answered_once() {
    for who in ["bob/b1", "bob/b2"] {
        for actor in [by(who), unregistered(who)] {
            Trace::accepted()
                .refuses(accept(actor.clone()), Refusal::WrongState { verb: Verb::Accepted, state: "accepted" })
                .refuses(reject(actor), Refusal::WrongState { verb: Verb::Rejected, state: "accepted" });
        }
    }
    for who in ["alice/a1", "alice/a2", "mallory/b1"] {
        Trace::accepted()
            .refuses(accept(by(who)), Refusal::NotTheCallee)
            .refuses(reject(by(who)), Refusal::NotTheCallee);
    }
}

#[test]
fn either_device_in_the_call_hangs_up_and_the_other_is_told() {
    Trace::accepted()
        .at(9_000)
        .changes(end(by("alice/a1")), vec![only("bob/b1", ended_by("alice", hung_up()))])
        .ends_as(Outcome::Ended(hung_up()));
    Trace::accepted()
        .at(9_000)
        .changes(end(by("bob/b1")), vec![only("alice/a1", ended_by("bob", hung_up()))])
        .ends_as(Outcome::Ended(hung_up()));
}

#[test]
fn a_reason_reaches_the_other_side() {
    let reason = EndReason::HungUp(text("battery"));
    let command = Command::End { by: by("bob/b1"), hangup: Hangup::Said(text("battery")) };
    Trace::accepted()
        .changes(command, vec![only("alice/a1", ended_by("bob", reason.clone()))])
        .ends_as(Outcome::Ended(reason));
    let command = Command::End { by: by("alice/a1"), hangup: Hangup::Replaced };
    Trace::accepted()
        .changes(command, vec![only("bob/b1", ended_by("alice", EndReason::Replaced))])
        .ends_as(Outcome::Ended(EndReason::Replaced));
}

#[test]
fn another_device_of_a_party_hangs_up_and_both_in_the_call_are_told() {
    for (who, name) in [("alice/a2", "alice"), ("bob/b2", "bob")] {
        let told = ended_by(name, hung_up());
        Trace::accepted().changes(end(by(who)), vec![only("alice/a1", told.clone()), only("bob/b1", told)]);
    }
}

#[test]
fn a_socket_hangs_up_for_its_user_before_it_registers() {
    Trace::accepted()
        .changes(end(unregistered("alice/s7")), vec![only("bob/b1", ended_by("alice", hung_up()))])
        .ends_as(Outcome::Ended(hung_up()));
    Trace::accepted()
        .changes(end(unregistered("bob/s7")), vec![only("alice/a1", ended_by("bob", hung_up()))])
        .ends_as(Outcome::Ended(hung_up()));
}

#[test]
fn a_stranger_ends_nothing() {
    for actor in [by("mallory/a1"), unregistered("mallory/b1")] {
        Trace::accepted().refuses(end(actor), Refusal::NotAParticipant);
    }
}

#[test]
fn a_party_who_stays_away_ends_the_call() {
    for who in ["alice/a1", "bob/b1"] {
        let name = &who[..who.len() - 3];
        let told = ended_by(name, EndReason::ConnectionLost);
        Trace::accepted()
            .at(10_000)
            .changes(away(who), vec![])
            .waits_until(70_000)
            .at(69_999)
            .stays(Command::Expire)
            .at(70_000)
            .changes(Command::Expire, vec![only("alice/a1", told.clone()), only("bob/b1", told)])
            .ends_as(Outcome::Ended(EndReason::ConnectionLost))
            .stays(Command::Expire);
    }
}

#[test]
fn of_two_absent_parties_the_first_to_go_ends_the_call() {
    let told = ended_by("bob", EndReason::ConnectionLost);
    Trace::accepted()
        .at(10_000)
        .changes(away("bob/b1"), vec![])
        .at(20_000)
        .changes(away("alice/a1"), vec![])
        .is(talks(1_000, "b1", Some(80_000), Some(70_000)))
        .waits_until(70_000)
        .at(70_000)
        .changes(Command::Expire, vec![only("alice/a1", told.clone()), only("bob/b1", told)]);
}

#[test]
fn being_away_twice_is_not_waited_for_twice() {
    Trace::accepted().at(10_000).changes(away("alice/a1"), vec![]).at(30_000).stays(away("alice/a1")).is(talks(
        1_000,
        "b1",
        Some(70_000),
        None,
    ));
}

#[test]
fn a_party_who_comes_back_is_not_given_up() {
    Trace::accepted()
        .at(10_000)
        .changes(away("alice/a1"), vec![])
        .changes(away("bob/b1"), vec![])
        .at(20_000)
        .changes(back("bob/b1"), vec![])
        .is(talks(1_000, "b1", Some(70_000), None))
        .changes(back("alice/a1"), vec![])
        .is(talks(1_000, "b1", None, None))
        .at(70_000)
        .stays(Command::Expire)
        .waits_until(MAX_DURATION_END);
}

#[test]
fn other_devices_come_and_go_without_mattering() {
    let both_away = Trace::accepted().changes(away("alice/a1"), vec![]).changes(away("bob/b1"), vec![]);
    for who in ["alice/a2", "alice/b1", "bob/b2", "bob/a1", "mallory/a1", "mallory/b1"] {
        Trace::accepted().stays(away(who)).stays(back(who)).stays(renamed(who, "s7"));
        both_away.clone().stays(away(who)).stays(back(who)).stays(renamed(who, "s7"));
    }
}

#[test]
fn a_party_who_registers_by_name_takes_the_call_along() {
    Trace::accepted()
        .changes(away("alice/a1"), vec![])
        .changes(away("bob/b1"), vec![])
        .changes(renamed("alice/phone", "a1"), vec![])
        .changes(renamed("bob/tablet", "b1"), vec![])
        .caller_is("phone")
        .is(talks(1_000, "tablet", None, None))
        .stays(renamed("alice/phone", "a1"))
        .stays(away("bob/b1"))
        .changes(end(by("alice/phone")), vec![only("bob/tablet", ended_by("alice", hung_up()))]);
}

#[test]
fn nobody_else_takes_a_partys_name() {
    Trace::accepted()
        .stays(renamed("mallory/m1", "a1"))
        .stays(renamed("bob/b2", "a1"))
        .stays(renamed("alice/a2", "b1"));
}

#[test]
fn it_lasts_no_longer_than_a_call_may() {
    let told = Event::Ended { ended_by: None, reason: EndReason::MaxDuration };
    Trace::accepted()
        .waits_until(MAX_DURATION_END)
        .at(MAX_DURATION_END - 1)
        .stays(Command::Expire)
        .changes(away("bob/b1"), vec![])
        .waits_until(MAX_DURATION_END)
        .at(MAX_DURATION_END)
        .changes(Command::Expire, vec![only("alice/a1", told.clone()), only("bob/b1", told)])
        .ends_as(Outcome::Ended(EndReason::MaxDuration));
}

#[test]
fn the_two_devices_in_the_call_hear_each_other_and_nobody_else() {
    let Trace { call, .. } = Trace::accepted();
    let alice = Party { user: user("alice"), device: device("a1") };
    let bob = Party { user: user("bob"), device: device("b1") };
    let peer = |actor: Actor| call.peer_of(&actor);
    assert_eq!(peer(by("alice/a1")), Ok(bob.clone()));
    assert_eq!(peer(by("bob/b1")), Ok(alice.clone()));
    assert_eq!(peer(unregistered("alice/s7")), Ok(bob));
    assert_eq!(peer(unregistered("bob/s7")), Ok(alice));
    for who in ["alice/a2", "alice/b1", "bob/b2", "bob/a1", "mallory/a1", "mallory/b1"] {
        assert_eq!(peer(by(who)), Err(Refusal::NotAParticipant), "{who}");
    }
    assert_eq!(peer(unregistered("mallory/a1")), Err(Refusal::NotAParticipant));
}

#[test]
fn signals_follow_a_renamed_device() {
    let Trace { call, .. } = Trace::accepted().changes(renamed("bob/tablet", "b1"), vec![]);
    let tablet = Party { user: user("bob"), device: device("tablet") };
    assert_eq!(call.peer_of(&by("alice/a1")), Ok(tablet));
    assert_eq!(call.peer_of(&by("bob/b1")), Err(Refusal::NotAParticipant));
    assert!(call.peer_of(&by("bob/tablet")).is_ok());
}
