//! One seat: what passes its gate, in which order, and how far the device counts as having come.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::backplane::{Backlog, Delivery, Kept, Payload, Position, Registration};
use crate::call::{Audience, EndReason, Event, Notice};
use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, EventId, PushTokens, SessionId};
use crate::protocol::{Media, Signal, SignalKind};
use crate::switchboard::notes::Notes;
use crate::switchboard::registry::Missed;
use crate::switchboard::tests::{FakeSocket, UNTIL_CONFIRMED, device, just_before, user};
use crate::switchboard::{CloseReason, Seat};
use crate::timeline::Recorder;
use crate::traces::Traces;

/// More than a seat keeps back.
const TOO_MANY: u64 = 3_000;
const NOTHING: [u64; 0] = [];

fn clock() -> Clock {
    Clock::following_tokio(Timestamp(1_000_000))
}

/// A seat of Bob's device `b1` on the socket `s1`, which has come as far as `start`.
fn seat_at(start: Position) -> (Seat, Arc<FakeSocket>) {
    let socket = FakeSocket::new(clock());
    let registration = Registration {
        user: user("bob"),
        device: Some(device("b1")),
        session: SessionId::parse("s1").unwrap(),
        platform: None,
        tokens: PushTokens::default(),
        at: Timestamp(0),
    };
    let notes = Notes::new(Recorder::off(socket.clock).into());
    let seat = Seat::new(registration, device("b1"), start, socket.clone(), socket.clock, notes, Traces::off());
    (seat, socket)
}

fn position(received: u64, described: u64) -> Position {
    Position { received: EventId(received), described: EventId(described) }
}

async fn open_seat() -> (Seat, Arc<FakeSocket>) {
    let (seat, socket) = seat_at(Position::default());
    seat.open(missed([], 0)).await;
    (seat, socket)
}

fn missed(deliveries: impl IntoIterator<Item = Delivery>, read_to: u64) -> Missed {
    Missed { deliveries: deliveries.into_iter().collect(), read_to: EventId(read_to) }
}

/// The end of some call, for all devices.
fn message(id: u64) -> Delivery {
    let event = Event::Ended { ended_by: None, reason: EndReason::MaxDuration };
    let notice = Notice { call_id: CallId::from_u128(1), at: Timestamp(0), event };
    Delivery { id: EventId(id), audience: Audience::All, payload: Arc::new(Payload::Notice(notice)), trace: None }
}

fn offer(id: u64) -> Delivery {
    let json = RawValue::from_string("\"v=0\"".to_owned()).unwrap();
    let signal = Signal {
        call_id: CallId::from_u128(1),
        from: user("alice"),
        at: Timestamp(0),
        kind: SignalKind::Offer,
        media: Media::new(&json, &[]),
    };
    Delivery { payload: Arc::new(Payload::Signal(signal)), ..message(id) }
}

fn sent(socket: &FakeSocket) -> Vec<u64> {
    socket.numbered_events().into_iter().map(|(id, _)| id.0).collect()
}

fn offer_all(seat: &Seat, ids: impl IntoIterator<Item = u64>) {
    ids.into_iter().for_each(|id| seat.offer(&message(id)));
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_before_the_gate_opens() {
    let (seat, socket) = seat_at(Position::default());
    offer_all(&seat, 1..=3);
    assert_eq!(sent(&socket), NOTHING);
    seat.open(missed([], 0)).await;
    assert_eq!(sent(&socket), [1, 2, 3]);
    offer_all(&seat, [4]);
    assert_eq!(sent(&socket), [4]);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_comes_first_and_overlaps_come_once() {
    let (seat, socket) = seat_at(Position::default());
    // Subscribed before the inbox was read: 4 and 5 came both ways.
    offer_all(&seat, 4..=7);
    seat.open(missed([message(2), message(3), message(5)], 5)).await;
    offer_all(&seat, [8]);
    assert_eq!(sent(&socket), [2, 3, 5, 6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_held_gate_keeps_the_order() {
    let (seat, socket) = open_seat().await;
    offer_all(&seat, [1]);
    seat.hold();
    offer_all(&seat, [2, 3]);
    assert_eq!(sent(&socket), [1]);
    seat.release();
    offer_all(&seat, [4]);
    assert_eq!(sent(&socket), [2, 3, 4]);
    seat.release();
    assert_eq!(sent(&socket), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_seat_takes_what_is_meant_for_either_name_of_its_device() {
    let (seat, socket) = open_seat().await;
    let audiences = [
        (Audience::All, true),
        (Audience::Only(device("b1")), true),
        (Audience::Only(device("s1")), true),
        (Audience::Only(device("b2")), false),
        (Audience::Except(device("b1")), false),
        (Audience::Except(device("s1")), false),
        (Audience::Except(device("b2")), true),
    ];
    for (id, (audience, is_meant)) in (1..).zip(audiences) {
        seat.offer(&Delivery { audience: audience.clone(), ..message(id) });
        assert_eq!(sent(&socket), if is_meant { vec![id] } else { vec![] }, "{audience:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_closes_the_socket_and_leaves_no_gap() {
    let (seat, socket) = open_seat().await;
    socket.set_room(2);
    offer_all(&seat, 1..=4);
    socket.set_room(10);
    offer_all(&seat, [5]);
    seat.hold();
    offer_all(&seat, [6]);
    seat.release();
    assert_eq!(sent(&socket), [1, 2]);
    assert_eq!(socket.closed(), [CloseReason::TooSlow], "once");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_behind_a_held_gate_leaves_no_gap() {
    let (seat, socket) = open_seat().await;
    seat.hold();
    offer_all(&seat, 1..=4);
    socket.set_room(2);
    seat.release();
    socket.set_room(10);
    offer_all(&seat, [5]);
    assert_eq!(sent(&socket), [1, 2]);
    assert_eq!(socket.closed(), [CloseReason::TooSlow]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_gone_is_sent_nothing_more() {
    let (seat, socket) = open_seat().await;
    socket.go();
    offer_all(&seat, 1..=2);
    let (unopened, gone) = seat_at(Position::default());
    gone.go();
    unopened.open(missed([message(1)], 1)).await;
    assert_eq!((sent(&socket), sent(&gone)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_bounded_number_waits_for_the_gate() {
    let (seat, socket) = seat_at(Position::default());
    offer_all(&seat, 1..=TOO_MANY);
    assert_eq!(socket.closed(), [CloseReason::TooSlow]);
    seat.open(missed([], 0)).await;
    offer_all(&seat, [TOO_MANY + 1]);
    assert_eq!(sent(&socket), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_closed_seat_sends_nothing() {
    let (seat, socket) = open_seat().await;
    seat.hold();
    offer_all(&seat, [1]);
    assert_eq!(seat.close(CloseReason::Displaced), Position::default());
    seat.release();
    offer_all(&seat, [2]);
    assert_eq!((sent(&socket), socket.closed()), (vec![], vec![CloseReason::Displaced]));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_sent_as_fast_as_there_is_room() {
    let (seat, socket) = seat_at(Position::default());
    socket.set_room(2);
    let client = async {
        let mut batches = Vec::new();
        for id in 6..=8 {
            tokio::time::advance(Duration::from_millis(10)).await;
            // What comes meanwhile waits behind what was missed.
            offer_all(&seat, [id]);
            batches.push(sent(&socket));
            socket.set_room(3);
        }
        batches
    };
    let (batches, ()) = tokio::join!(client, seat.open(missed((1..=5).map(message), 5)));
    assert_eq!(batches.concat().into_iter().chain(sent(&socket)).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(batches[0].len(), 2, "no more than there was room for");
    assert_eq!(socket.closed(), []);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_not_waited_for_for_ever() {
    let (seat, socket) = seat_at(position(3, 3));
    socket.set_room(1);
    let before = socket.clock.now();
    seat.open(missed((5..=7).map(message), 7)).await;
    let waited = before.until(socket.clock.now());
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4), "{waited:?}");
    assert_eq!((sent(&socket), socket.closed()), (vec![5], vec![CloseReason::TooSlow]));
    assert_eq!(seat.stop(), position(4, 3), "the rest is still to come");
}

#[tokio::test(start_paused = true)]
async fn received_is_what_the_client_was_heard_from_a_second_later() {
    let (seat, socket) = open_seat().await;
    offer_all(&seat, [1]);
    socket.say();
    assert_eq!(seat.stop(), position(0, 0), "it may have spoken before it heard");

    let (seat, socket) = open_seat().await;
    offer_all(&seat, [1]);
    tokio::time::advance(just_before(UNTIL_CONFIRMED)).await;
    socket.say();
    assert_eq!(seat.stop(), position(0, 0));

    let (seat, socket) = open_seat().await;
    offer_all(&seat, [1]);
    tokio::time::advance(UNTIL_CONFIRMED / 2).await;
    offer_all(&seat, [2]);
    tokio::time::advance(UNTIL_CONFIRMED / 2).await;
    socket.say();
    offer_all(&seat, [3]);
    tokio::time::advance(UNTIL_CONFIRMED * 5).await;
    assert_eq!(seat.stop(), position(1, 0), "time alone confirms nothing");
}

#[tokio::test(start_paused = true)]
async fn a_description_is_not_repeated_once_anything_was_heard() {
    let (seat, socket) = open_seat().await;
    socket.say();
    seat.offer(&offer(1));
    assert_eq!(seat.stop(), position(0, 0), "nothing has come back after it");

    let (seat, socket) = open_seat().await;
    seat.offer(&offer(1));
    seat.offer(&message(2));
    socket.say();
    seat.offer(&offer(3));
    assert_eq!(seat.stop(), position(0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_device_starts_where_it_was_and_skips_what_it_does_not_need() {
    for (start, waiting, read_to, expected) in [
        (position(5, 6), vec![], 9, position(9, 6)),
        (position(5, 6), vec![8], 9, position(7, 6)),
        // Rings once more, and has received it all the same.
        (position(5, 6), vec![4], 9, position(5, 6)),
        // Nobody has come further than there is.
        (position(50, 50), vec![], 9, position(9, 9)),
        (position(50, 50), vec![], 0, position(0, 0)),
    ] {
        let (seat, _) = seat_at(start);
        seat.open(missed(waiting.into_iter().map(message), read_to)).await;
        assert_eq!(seat.stop(), expected, "from {start:?}");
    }
}

fn backlog(ids: impl IntoIterator<Item = u64>, last: u64) -> Backlog {
    let kept = |id| Kept { delivery: message(id), sent_at: Timestamp(0), reached_nobody: false };
    Backlog { messages: ids.into_iter().map(kept).collect(), last: EventId(last), calls: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_in_an_interruption_comes_before_what_came_since_and_once() {
    let (seat, socket) = open_seat().await;
    seat.offer(&message(1));
    seat.interrupt();
    let interruption = seat.interruption().unwrap();
    for id in [3, 4, 5] {
        seat.offer(&message(id));
    }
    assert_eq!(sent(&socket), [1], "held back until it is known what was missed");
    seat.catch_up(interruption, backlog([2, 3], 3));
    seat.offer(&message(3));
    seat.offer(&message(6));
    assert_eq!(sent(&socket), [2, 3, 4, 5, 6]);
    assert!(seat.interruption().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_interruption_during_another_loses_nothing() {
    let (seat, socket) = open_seat().await;
    seat.offer(&message(1));
    seat.interrupt();
    let first = seat.interruption().unwrap();
    seat.interrupt();
    seat.catch_up(first, backlog([2, 3], 3));
    seat.offer(&message(5));
    assert_eq!(sent(&socket), [1], "the second is not made up for");
    seat.catch_up(seat.interruption().unwrap(), backlog([4, 5], 5));
    assert_eq!(sent(&socket), [2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_held_seat_stays_held_when_an_interruption_is_over() {
    let (seat, socket) = open_seat().await;
    seat.hold();
    seat.interrupt();
    seat.offer(&message(2));
    seat.catch_up(seat.interruption().unwrap(), backlog([1, 2], 2));
    assert_eq!(sent(&socket), NOTHING);
    seat.release();
    assert_eq!(sent(&socket), [1, 2]);
}
