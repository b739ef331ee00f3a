//! What timelines come to, in words, and that they are read by releases that know more, or less.

use crate::ids::CallId;
use crate::timeline::{Account, Entry, Known, What, Who, lines};

const BEGUN: u64 = 1_700_000_000_000;

fn who(text: &str) -> Who {
    let (user, device) = text.split_once('/').unwrap();
    Who { user: user.into(), device: device.into() }
}

fn known(device: &str, connected: bool, tokens: &[&str]) -> Known {
    Known {
        device: device.into(),
        connected,
        node: connected.then(|| "node-of-bob-1".into()),
        tokens: tokens.iter().map(|token| (*token).into()).collect(),
        seen_at: BEGUN - 3 * 3_600_000,
    }
}

fn begun(devices: Vec<Known>) -> What {
    What::Begun { by: who("alice/a1"), callee: "bob".into(), call_type: "video".into(), devices, more_devices: 0 }
}

fn sent(to: &str) -> What {
    What::Delivered { to: who(to), message: "incoming_call".into() }
}

fn pushed(to: &str, outcome: &str, why: Option<&str>) -> What {
    let (service, kind) = ("fcm".into(), "ring".into());
    What::Pushed { to: who(to), service, kind, outcome: outcome.into(), why: why.map(Into::into) }
}

fn ended(how: &str, by: Option<&str>) -> What {
    What::Ended { how: how.into(), by: by.map(who) }
}

/// A call in which this happened, a second apart.
fn account(what: impl IntoIterator<Item = What>) -> Account {
    let entries = what.into_iter().zip(0..).map(|(what, second)| Entry {
        at: BEGUN + second * 1000,
        node: "node-of-alice".into(),
        what,
    });
    Account::new(CallId::from_u128(7), entries.collect())
}

fn verdict(what: impl IntoIterator<Item = What>) -> String {
    account(what).verdict
}

#[test]
fn why_nobodys_phone_rang() {
    let unanswered = || ended("no_answer", None);
    let not =
        |why: &str, seconds| format!("Nobody's phone is known to have rung: {why}. Nobody answered for {seconds}.0 s.");
    assert_eq!(
        verdict([begun(vec![]), unanswered()]),
        not("bob has no device: nobody has registered by that id, or not for long, or has signed out", 1)
    );
    assert_eq!(
        verdict([begun(vec![known("b1", false, &[]), known("b2", false, &[])]), unanswered()]),
        not("no device of bob was connected and none has a push token", 1)
    );
    let asleep = || begun(vec![known("b1", false, &["fcmToken"])]);
    assert_eq!(
        verdict([asleep(), pushed("bob/b1", "token_dead", Some("UNREGISTERED")), unanswered()]),
        not("fcm says that the push token of bob/b1 is dead: UNREGISTERED", 2)
    );
    assert_eq!(
        verdict([asleep(), pushed("bob/b1", "retried", Some("x")), pushed("bob/b1", "sent", None), unanswered()]),
        not("fcm took the push for bob/b1, whose app was not heard from", 3)
    );
    assert_eq!(
        verdict([asleep(), unanswered()]),
        not(
            "bob/b1 was not connected, and no push to it is noted: is the service for its token (fcmToken) configured?",
            1
        )
    );
    let queue_full = What::NotPushed { kind: "ring".into(), why: "too many wakeups wait".into() };
    assert_eq!(verdict([asleep(), queue_full, unanswered()]), not("no push was tried: too many wakeups wait", 2));
    let connected = || begun(vec![known("b1", true, &[])]);
    assert_eq!(
        verdict([connected(), sent("bob/b1"), What::Silent { by: who("bob/b1"), gone: true }, unanswered()]),
        not(
            "it was sent to bob/b1 but never acknowledged: nothing was heard from it for 1.0 s, then its connection was gone",
            3
        )
    );
    assert_eq!(
        verdict([connected(), unanswered()]),
        not("bob/b1 was connected, but nothing says that it was sent the call", 1)
    );
}

#[test]
fn what_came_of_a_call_that_rang() {
    let devices = || vec![known("b1", true, &["fcmToken"])];
    let heard = || What::Acknowledged { by: who("bob/b1") };
    assert_eq!(
        verdict([begun(devices()), sent("bob/b1"), heard(), ended("no_answer", None)]),
        "It rang on bob/b1, which had the call and was heard from. Nobody answered for 3.0 s."
    );
    assert_eq!(
        verdict([begun(devices()), sent("bob/b1"), heard(), ended("cancelled", Some("alice/a1"))]),
        "It rang on bob/b1, which had the call and was heard from. The caller hung up after 3.0 s."
    );
    for how in ["rejected", "cancelled"] {
        let declined = [begun(devices()), sent("bob/b1"), ended(how, Some("bob/b1"))];
        assert_eq!(verdict(declined), "It rang: bob/b1 declined after 2.0 s.");
    }
    assert_eq!(
        verdict([begun(devices()), ended("busy", None)]),
        "Nobody's phone rang: bob was busy with another call."
    );
    let answered = || What::Answered { by: who("bob/b1") };
    assert_eq!(
        verdict([begun(devices()), sent("bob/b1"), answered()]),
        "bob/b1 answered after 2.0 s; the call goes on."
    );
    assert_eq!(
        verdict([begun(devices()), answered(), ended("hung_up", Some("alice/a1"))]),
        "bob/b1 answered after 1.0 s; over: hung up after 2.0 s, by alice/a1."
    );
    assert!(verdict([begun(devices()), sent("bob/b1")]).ends_with("It has not ended."));
    assert_eq!(verdict([answered()]), "How this call began is not known.");
}

#[test]
fn a_person_reads_a_line_for_each() {
    let what = [
        begun(vec![known("b1", true, &[]), known("phone", false, &["fcmToken", "apnsVoipToken"])]),
        sent("bob/b1"),
        pushed("bob/phone", "refused", Some("the quota is exceeded")),
        ended("no_answer", None),
    ];
    let text = lines(&account(what));
    let expected = "\
call 00000000-0000-0000-0000-000000000007, begun 2023-11-14T22:13:20.000Z

  +0.000 s  node-of-  alice/a1   calls bob (video)
  +0.000 s  node-of-  bob/b1     is connected at node-of-, no push token
  +0.000 s  node-of-  bob/phone  is not connected for 3 h, can be woken (fcmToken, apnsVoipToken)
  +1.000 s  node-of-  bob/b1     is sent incoming_call
  +2.000 s  node-of-  bob/phone  push of the ring: fcm refuses it (the quota is exceeded)
  +3.000 s  node-of-  -          over: nobody answered in time

Nobody's phone is known to have rung: it was sent to bob/b1 but never acknowledged: nothing was heard from it for 2.0 s, \
which may be too short to mean anything; \
fcm refuses the push for bob/phone: the quota is exceeded. Nobody answered for 3.0 s.";
    assert_eq!(text, expected);
}

#[test]
fn entries_come_in_order_and_the_beginning_first() {
    let entry = |at, what| Entry { at, node: "n".into(), what };
    let entries = vec![
        entry(BEGUN, sent("bob/b1")),
        entry(BEGUN + 9, ended("no_answer", None)),
        entry(BEGUN, begun(vec![])),
        entry(BEGUN + 5, What::Acknowledged { by: who("bob/b1") }),
    ];
    let ordered = Account::new(CallId::from_u128(7), entries.clone()).entries;
    assert_eq!(ordered, [2, 0, 3, 1].map(|at: usize| entries[at].clone()));
}

#[test]
fn every_entry_is_read_back() {
    let b1 = || who("bob/b\"1");
    let all = [
        begun(vec![known("b1", true, &["fcmToken"]), known("b2", false, &[])]),
        What::Answered { by: b1() },
        ended("hung_up", Some("bob/b1")),
        ended("no_answer", None),
        sent("bob/b1"),
        What::Undelivered { to: b1(), message: "incoming_call".into(), why: "x".into() },
        What::Acknowledged { by: b1() },
        What::Silent { by: b1(), gone: true },
        pushed("bob/b1", "sent", None),
        pushed("bob/b1", "refused", Some("x")),
        What::NotPushed { kind: "ring".into(), why: "x".into() },
        What::StatusAsked { user: None, status: "ringing".into() },
        What::StatusAsked { user: Some("bob".into()), status: "ringing".into() },
        What::Registered { by: b1() },
        What::Refused { by: b1(), asked: "call_accept".into(), why: "x".into() },
        What::Away { by: b1() },
        What::Unknown,
    ];
    for what in all {
        let entry = Entry { at: BEGUN, node: "n".into(), what };
        let text = entry.to_text();
        assert_eq!(Entry::from_text(&text), Some(entry), "{text}");
    }
}

#[test]
fn what_a_newer_release_has_noted_is_passed_over() {
    let text = r#"{"at":5,"node":"n","event":"beamed","user":"bob","to":{"planet":3}}"#;
    assert_eq!(Entry::from_text(text), Some(Entry { at: 5, node: "n".into(), what: What::Unknown }));
    let text = r#"{"at":5,"node":"n","event":"registered","user":"bob","device":"b1","battery":3}"#;
    assert_eq!(Entry::from_text(text).unwrap().what, What::Registered { by: who("bob/b1") });
    assert_eq!(Entry::from_text("{}"), None);
}

#[test]
fn who_has_acted_is_not_called_silent() {
    let silent = |by: &str| What::Silent { by: who(by), gone: true };
    let acts = [
        What::Answered { by: who("bob/b1") },
        ended("rejected", Some("bob/b1")),
        What::Refused { by: who("bob/b1"), asked: "call_accept".into(), why: "too late".into() },
    ];
    for act in acts {
        let all = [begun(vec![known("b1", true, &[])]), sent("bob/b1"), act, silent("bob/b1"), silent("bob/b2")];
        let entries = all.into_iter().map(|what| Entry { at: BEGUN, node: "n1".into(), what }).collect();
        let account = Account::new(CallId::from_u128(1), entries);
        let is_silent = |what: &What| matches!(what, What::Silent { .. });
        let left: Vec<_> = account.entries.into_iter().map(|entry| entry.what).filter(is_silent).collect();
        assert_eq!(left, [silent("bob/b2")]);
    }
}
