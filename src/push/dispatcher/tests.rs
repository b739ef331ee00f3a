//! Who is told, by which service, how often and for how long. Services here do as the test says, and the test moves the clock.

mod house;

use super::*;
use crate::call::{Call, Elsewhere, Outcome as CallOutcome, Over, Silence, State};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::push::testing::{START, call, device, stop, tokens, wakeup};
use crate::push::{Outcome, Trouble};
use house::{House, TROUBLE};

fn to(kind: Kind, tokens: &[&str]) -> Vec<(Kind, String)> {
    tokens.iter().map(|token| (kind, (*token).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn each_device_is_rung_once_by_the_service_that_suits_it_best() {
    let house = House::new(&[
        ("android", Some("f1"), None),
        ("ios", Some("f2"), Some("a2")),
        ("online-web", Some("f3"), None),
        ("browser", None, None),
    ]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    assert_eq!(house.fcm.sent(), to(Kind::Ring, &["f1", "f3"]));
    assert_eq!(house.apns.sent(), to(Kind::Ring, &["a2"]));
    assert_eq!((house.count("fcm", "ring", "sent"), house.count("apns", "ring", "sent")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_end_goes_to_all_but_who_brought_it_about_and_never_by_pushkit() {
    let house = House::new(&[("one", Some("f1"), None), ("two", Some("f2"), Some("a2")), ("three", None, Some("a3"))]);
    let why = Silence::Elsewhere(Elsewhere::Answered);
    house.wake(Wake::Stop { why, except: Some(device("one")) });
    house.wake(Wake::Missed);
    house.pass(10).await;
    assert_eq!(house.fcm.sent(), [to(Kind::Stop, &["f2"]), to(Kind::Missed, &["f1", "f2"])].concat());
    assert!(house.apns.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn connected_devices_can_be_left_out() {
    let house = House::with(&[("online", Some("f1"), None), ("away", Some("f2"), None)], true);
    house.wake(Wake::Ring);
    house.pass(10).await;
    house.wake(stop(Silence::Cancelled));
    house.pass(10).await;
    assert_eq!(house.fcm.sent(), [to(Kind::Ring, &["f2"]), to(Kind::Stop, &["f2"])].concat());
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_is_forgotten_and_the_next_one_tried() {
    let house = House::new(&[("ios", Some("f1"), Some("a1")), ("other", Some("f2"), None)]);
    house.apns.answers([Outcome::dead("gone")]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    assert_eq!(*house.devices.forgotten.lock(), ["ios a1"]);
    assert_eq!(house.fcm.sent(), to(Kind::Ring, &["f1", "f2"]));
    assert_eq!(house.count("apns", "ring", "token_dead"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_device_that_registered_since_it_died_is_kept() {
    for (since, is_forgotten) in [(START.0 - 1, false), (START.0, false), (START.0 + 1, true)] {
        let house = House::new(&[("ios", None, Some("a1"))]);
        house.apns.answers([Outcome::TokenDead { since: Some(Timestamp(since)), if_often: None, code: "gone" }]);
        house.wake(Wake::Ring);
        house.pass(10).await;
        assert_eq!(!house.devices.forgotten.lock().is_empty(), is_forgotten, "{since}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_tried_again() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.answers([Outcome::Refused { why: "a reason", alert: true }]);
    house.wake(Wake::Ring);
    house.pass(10_000).await;
    assert_eq!(house.fcm.times().len(), 1);
    assert_eq!(house.count("fcm", "ring", "refused"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_tried_until_it_rings_no_more_and_no_longer() {
    let house = House::new(&[("one", Some("f1"), None)]);
    *house.fcm.otherwise.lock() = TROUBLE;
    house.wake(Wake::Ring);
    house.pass(60_000).await;
    let times = house.fcm.times();
    assert!((6..=20).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|two| (200..=12_000).contains(&(two[1] - two[0]))), "{times:?}");
    assert!(times.last().is_some_and(|last| (30_000..45_000).contains(last)), "{times:?}");
    assert_eq!(house.count("fcm", "ring", "given_up"), 1);
    assert_eq!(house.count("fcm", "ring", "retried"), times.len() as u64 - 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_wait_longer_than_it_rings_gives_up_at_once() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.answers([Outcome::later("quota", Some(Duration::from_secs(60)))]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    assert_eq!(house.count("fcm", "ring", "given_up"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_tried_again_only_while_the_call_rings() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.answers([TROUBLE, TROUBLE]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    assert_eq!(house.devices.asked.load(Ordering::Relaxed), 0, "the first attempt needs no question");
    *house.devices.is_over.lock() = true;
    house.pass(2_000).await;
    assert_eq!(house.fcm.times().len(), 1);
    assert_eq!(house.count("fcm", "ring", "called_off"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_tried_again_by_the_newest_token_and_not_where_the_device_has_gone() {
    let house = House::new(&[("one", Some("f1"), None), ("two", Some("f2"), None)]);
    house.fcm.answers([TROUBLE, TROUBLE]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    {
        let mut devices = house.devices.all.lock();
        devices.pop();
        devices[0].tokens = tokens(Some("newer"), None);
    }
    house.pass(2_000).await;
    assert_eq!(house.fcm.sent(), [to(Kind::Ring, &["f1", "f2"]), to(Kind::Ring, &["newer"])].concat());
    assert_eq!(house.count("fcm", "ring", "called_off"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_asked_about_is_taken_to_ring() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.answers([TROUBLE]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    *house.devices.is_away.lock() = true;
    house.pass(2_000).await;
    assert_eq!(house.count("fcm", "ring", "sent"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_calls_off_the_ring_and_follows_it() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.hang();
    house.wake(Wake::Ring);
    house.pass(10).await;
    house.wake(stop(Silence::Cancelled));
    house.pass(1_000).await;
    assert_eq!(house.fcm.sent(), to(Kind::Ring, &["f1"]), "the ring is still on its way");
    house.fcm.answers([TROUBLE]);
    house.fcm.gate.add_permits(2);
    house.pass(10_000).await;
    assert_eq!(house.fcm.sent(), [to(Kind::Ring, &["f1"]), to(Kind::Stop, &["f1"])].concat());
    assert_eq!(house.count("fcm", "ring", "called_off"), 1);
    assert_eq!(house.count("fcm", "stop", "sent"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_rings_is_stopped_while_another_is_still_being_rung() {
    let house = House::new(&[("one", Some("f1"), None), ("two", Some("f2"), Some("a2"))]);
    house.apns.hang();
    house.wake(Wake::Ring);
    house.pass(10).await;
    house.wake(stop(Silence::Cancelled));
    house.pass(10).await;
    assert_eq!(house.fcm.sent(), [to(Kind::Ring, &["f1"]), to(Kind::Stop, &["f1"])].concat());
    house.apns.gate.add_permits(1);
    house.pass(10).await;
    assert_eq!(house.fcm.sent()[2..], to(Kind::Stop, &["f2"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_about_a_ringing_call_is_tried_five_times() {
    let house = House::new(&[("one", Some("f1"), None)]);
    *house.fcm.otherwise.lock() = Outcome::Retry { after: None, trouble: Trouble::Device("trouble") };
    house.wake(stop(Silence::TimedOut));
    house.wake(Wake::Missed);
    house.pass(120_000).await;
    let of = |kind| house.fcm.sent().iter().filter(|(sent, _)| *sent == kind).count();
    assert_eq!((of(Kind::Stop), of(Kind::Missed)), (5, 5));
    assert_eq!((house.count("fcm", "stop", "given_up"), house.count("fcm", "missed", "given_up")), (1, 1));
    assert_eq!(house.devices.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_is_left_alone_and_asked_by_one_at_a_time() {
    let names: Vec<String> = (0..50).map(|n| format!("d{n}")).collect();
    let devices: Vec<_> = names.iter().map(|name| (name.as_str(), Some(name.as_str()), None)).collect();
    let house = House::new(&devices);
    *house.fcm.otherwise.lock() = TROUBLE;
    house.fcm.hang();
    house.wake(Wake::Ring);
    house.pass(10).await;
    assert_eq!(house.fcm.times().len(), 50, "all at once, before anybody knew");
    house.fcm.gate.add_permits(1000);
    house.pass(900).await;
    assert_eq!(house.fcm.times().len(), 50, "then none");
    house.pass(600).await;
    assert_eq!(house.fcm.times().len(), 51, "then one");
    house.pass(5_000).await;
    assert!(house.fcm.times().len() <= 54, "{}", house.fcm.times().len());
    assert!(house.devices.asked.load(Ordering::Relaxed) <= 4, "Redis is asked by those alone who ask the service");
    *house.fcm.otherwise.lock() = Outcome::Sent;
    house.pass(20_000).await;
    assert_eq!(house.count("fcm", "ring", "sent"), 50);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_holds_up_no_other() {
    let house = House::new(&[("one", Some("f1"), None), ("two", None, Some("a2"))]);
    house.fcm.hang();
    for _ in 0..200 {
        house.wake(Wake::Ring);
    }
    house.pass(10).await;
    assert_eq!(house.count("apns", "ring", "sent"), 200);
    assert_eq!(house.fcm.times().len(), 64, "requests at once");
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_does_not_hold_is_dropped_and_counted() {
    let house = House::new(&[("one", Some("f1"), None)]);
    for _ in 0..QUEUE + 7 {
        house.wake(Wake::Missed);
    }
    assert_eq!(house.dispatcher.snapshot().queue_full, 7);
    house.pass(1_000).await;
    assert_eq!(house.count("fcm", "missed", "sent"), QUEUE as u64);
}

#[tokio::test(start_paused = true)]
async fn devices_that_cannot_be_looked_up_are_looked_up_again() {
    let house = House::new(&[("one", Some("f1"), None)]);
    *house.devices.is_away.lock() = true;
    house.wake(Wake::Ring);
    house.pass(30_000).await;
    *house.devices.is_away.lock() = false;
    house.pass(2_000).await;
    assert_eq!(house.count("fcm", "ring", "sent"), 1, "it rings for 45 s");
    assert_eq!(house.devices.asked.load(Ordering::Relaxed), 1, "after so long a time it is asked whether it rings");
    *house.devices.is_away.lock() = true;
    house.wake(Wake::Ring);
    house.pass(46_000).await;
    assert_eq!(house.dispatcher.snapshot().not_looked_up, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_while_devices_are_looked_up_is_no_failure_to_do_so() {
    let house = House::new(&[("one", Some("f1"), None)]);
    *house.devices.is_away.lock() = true;
    house.wake(Wake::Ring);
    house.pass(5_000).await;
    *house.devices.is_away.lock() = false;
    house.wake(stop(Silence::Cancelled));
    house.pass(10).await;
    assert_eq!(house.fcm.sent(), to(Kind::Stop, &["f1"]));
    assert_eq!(house.dispatcher.snapshot().not_looked_up, 0);
}

#[tokio::test(start_paused = true)]
async fn however_much_else_waits_who_rings_is_stopped() {
    let names: Vec<String> = (0..64).map(|n| format!("d{n}")).collect();
    let devices: Vec<_> = names.iter().map(|name| (name.as_str(), Some(name.as_str()), None)).collect();
    let house = House::new(&devices);
    house.fcm.hang();
    for _ in 0..300 {
        house.wake(Wake::Missed);
    }
    house.pass(10).await;
    assert!(house.count("fcm", "missed", "dropped") > 0, "more than there is room for");
    house.wake(stop(Silence::TimedOut));
    house.pass(10).await;
    house.fcm.gate.add_permits(100_000);
    house.pass(1_000).await;
    assert_eq!(house.count("fcm", "stop", "sent"), 64);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_sends_what_it_can_and_waits_for_nothing() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.answers([TROUBLE]);
    house.wake(Wake::Ring);
    house.pass(10).await;
    let other = Call { id: CallId::from_u128(2), ..call(None, None) };
    house.dispatcher.wake(wakeup(other, Wake::Missed));
    house.stopping.cancel();
    house.pass(10).await;
    assert!(house.worker.is_finished());
    assert_eq!((house.count("fcm", "ring", "given_up"), house.count("fcm", "missed", "sent")), (1, 1));
    house.wake(Wake::Missed);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_does_not_wait_for_a_service_that_hangs() {
    let house = House::new(&[("one", Some("f1"), None)]);
    house.fcm.hang();
    for _ in 0..1000 {
        house.wake(Wake::Missed);
    }
    house.pass(10).await;
    house.stopping.cancel();
    house.pass(1_900).await;
    assert!(!house.worker.is_finished(), "it may answer yet");
    house.pass(200).await;
    assert!(house.worker.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_can_be_reached_is_known_without_asking() {
    let house = House::new(&[]);
    let reaches = |fcm: Option<&str>, apns: Option<&str>| house.dispatcher.can_reach(&tokens(fcm, apns));
    assert!(reaches(Some("f"), None) && reaches(None, Some("a")) && !reaches(None, None));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_rings_no_more_when_it_is_to_be_rung_is_left() {
    let house = House::new(&[("one", Some("f1"), None)]);
    let over = State::Over(Over { at: START, accepted_at: None, outcome: CallOutcome::Rejected });
    house.dispatcher.wake(wakeup(Call { state: over, ..call(None, None) }, Wake::Ring));
    house.pass(10).await;
    assert!(house.fcm.sent().is_empty());
}
