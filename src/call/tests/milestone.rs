//! What calls come to, for those who are told: which turn, when, and by whom.

use crate::call::tests::{RULES, accept, away, back, by, device, end, reject, user};
use crate::call::{
    Actor, Call, CallType, CallerDisplay, Command, Decision, Ending, Initiation, Milestone, Request, Turn,
};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// Alice calls Bob at 0 ms; `busy` with whom he talks.
fn begun(busy: Option<&Call>) -> Call {
    let request = Request {
        id: CallId::from_u128(1),
        caller: by("alice/a1"),
        callee: user("bob"),
        call_type: CallType::Video,
        display: CallerDisplay::default(),
        request_id: None,
    };
    match Call::initiate(request, [], busy, Timestamp(0), &RULES).unwrap() {
        Initiation::Ring(transition) | Initiation::Busy(transition) => transition.call,
        Initiation::Same(call) => call,
    }
}

/// The call after each command, and what it came to by the last of them.
fn after(commands: impl IntoIterator<Item = (u64, Command)>) -> Vec<Milestone> {
    let mut call = begun(None);
    let mut milestones = Milestone::of(None, &call, Some(&by("alice/a1")));
    for (at, command) in commands {
        let asked_by = command.by().cloned();
        let Ok(Decision::Changed(transition)) = call.decide(command, Timestamp(at), &RULES) else { panic!("nothing") };
        milestones = Milestone::of(Some(&call), &transition.call, asked_by.as_ref());
        call = transition.call;
    }
    milestones
}

/// Which turn, when, by whom, and whether it was missed.
fn told(milestones: &[Milestone]) -> Vec<(Turn, u64, Option<String>, bool)> {
    let by = |milestone: &Milestone| milestone.by.as_ref().map(|by| format!("{}/{}", by.user, by.device));
    milestones.iter().map(|told| (told.turn, told.at.0, by(told), told.is_missed())).collect()
}

fn ended(ending: Ending, at: u64, by: Option<&str>, is_missed: bool) -> Vec<(Turn, u64, Option<String>, bool)> {
    vec![(Turn::Ended(ending), at, by.map(Into::into), is_missed)]
}

#[test]
fn every_turn_says_when_and_by_whom() {
    let alice = Some("alice/a1".to_owned());
    assert_eq!(told(&after([])), [(Turn::Started, 0, alice, false)]);
    let accepted = || (5, accept(by("bob/b1")));
    assert_eq!(told(&after([accepted()])), [(Turn::Answered, 5, Some("bob/b1".into()), false)]);
    assert_eq!(told(&after([accepted(), (9, away("bob/b1"))])), [], "it goes on");
    let cases = [
        (vec![(7, reject(by("bob/b2")))], ended(Ending::Rejected, 7, Some("bob/b2"), false)),
        (vec![(7, end(by("bob/b2")))], ended(Ending::Cancelled, 7, Some("bob/b2"), false)),
        (vec![(7, end(by("alice/a1")))], ended(Ending::Cancelled, 7, Some("alice/a1"), true)),
        (vec![(45_000, Command::Expire)], ended(Ending::NoAnswer, 45_000, None, true)),
        (vec![(45_000, accept(by("bob/b1")))], ended(Ending::NoAnswer, 45_000, None, true)),
        (
            vec![(1, away("alice/a1")), (15_001, Command::Expire)],
            ended(Ending::ConnectionLost, 15_001, Some("alice/a1"), true),
        ),
        (vec![accepted(), (8, end(by("bob/b1")))], ended(Ending::HungUp, 8, Some("bob/b1"), false)),
        (
            vec![
                accepted(),
                (9, away("alice/a1")),
                (10, away("bob/b1")),
                (11, back("alice/a1")),
                (60_010, Command::Expire),
            ],
            ended(Ending::ConnectionLost, 60_010, Some("bob/b1"), false),
        ),
        (vec![accepted(), (3_600_005, Command::Expire)], ended(Ending::MaxDuration, 3_600_005, None, false)),
    ];
    for (commands, expected) in cases {
        let about = format!("{commands:?}");
        assert_eq!(told(&after(commands)), expected, "{about}");
    }
}

#[test]
fn it_says_all_that_is_known_by_then() {
    let milestones = after([(5, accept(by("bob/b1"))), (9, end(by("alice/a1")))]);
    let [milestone] = milestones.as_slice() else { panic!("{milestones:?}") };
    assert_eq!((milestone.caller.user.as_str(), milestone.caller.device.as_str()), ("alice", "a1"));
    assert_eq!((&milestone.callee, &milestone.callee_device), (&user("bob"), &Some(device("b1"))));
    assert_eq!((milestone.created_at, milestone.answered_at), (Timestamp(0), Some(Timestamp(5))));
    assert_eq!((milestone.rang_for().as_millis(), milestone.call_type), (5, CallType::Video));
}

#[test]
fn a_call_to_a_busy_callee_begins_and_ends() {
    let other = Call { caller: crate::call::Party { user: user("carol"), device: device("c1") }, ..begun(None) };
    let call = begun(Some(&other));
    let asked_by: Actor = by("alice/a1");
    let milestones = Milestone::of(None, &call, Some(&asked_by));
    let started = (Turn::Started, 0, Some("alice/a1".to_owned()), false);
    assert_eq!(told(&milestones), [vec![started], ended(Ending::Busy, 0, None, true)].concat());
    assert_eq!(milestones.iter().map(|told| told.turn.place()).collect::<Vec<_>>(), [0, 2]);
}
