//! What is noted of calls beside their changes: who was sent the ring, and whether they were heard from.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ids::{CallId, NodeId};
use crate::metrics::Metrics;
use crate::switchboard::tests::{Exchange, Phone, RULES, UNTIL_CONFIRMED, just_before};
use crate::switchboard::{Line, Observers, Switchboard};
use crate::timeline::{Account, Recorder, What, Who};
use crate::traces::Traces;

impl Exchange {
    /// A node that notes what happens, and its metrics.
    fn noting_node(&self) -> (Arc<Switchboard>, Arc<Metrics>) {
        let line = Arc::new(Line::default());
        let backplane = Arc::new(self.memory.node(line.clone()));
        let recorder = Arc::new(Recorder::new(true, NodeId::random(), self.clock));
        let metrics = Metrics::new();
        let observers = Observers { metrics: metrics.clone(), recorder, traces: Traces::off() };
        let node = Switchboard::new(backplane, line, self.push.clone(), self.clock, RULES, observers);
        (node, metrics)
    }
}

/// What is told of a call, in short.
async fn told(node: &Switchboard, call: CallId) -> Vec<String> {
    let Some(Account { entries, .. }) = node.timeline(call).await.unwrap() else { return Vec::new() };
    entries.into_iter().map(|entry| short(entry.what)).collect()
}

fn short(what: What) -> String {
    let name = |who: Who| format!("{}/{}", who.user, who.device);
    match what {
        What::Begun { by, devices, .. } => format!("{} begins with {} devices", name(by), devices.len()),
        What::Answered { by } => format!("{} answers", name(by)),
        What::Ended { how, .. } => how,
        What::Delivered { to, message } => format!("{message} to {}", name(to)),
        What::Undelivered { to, message, .. } => format!("no {message} to {}", name(to)),
        What::Acknowledged { by } => format!("{} has it", name(by)),
        What::Silent { by, gone } => format!("{} is silent{}", name(by), if gone { " and gone" } else { "" }),
        What::Registered { by } => format!("{} registers", name(by)),
        What::Away { by } => format!("{} is away", name(by)),
        What::Refused { by, asked, .. } => format!("{} may not {asked}", name(by)),
        What::StatusAsked { status, .. } => status,
        What::Pushed { .. } | What::NotPushed { .. } | What::Unknown => "unexpected".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_acknowledged_by_what_is_heard_a_second_later() {
    let exchange = Exchange::new();
    let (node, _) = exchange.noting_node();
    let alice = Phone::connect(&node, "alice/a1", "s-a1").await;
    let bob = Phone::connect(&node, "bob/b1", "s-b1").await;
    let call = alice.call("bob").await;
    let mut expected = vec!["alice/a1 begins with 1 devices", "incoming_call to bob/b1"];
    tokio::time::advance(just_before(UNTIL_CONFIRMED)).await;
    bob.socket.say();
    assert_eq!(told(&node, call).await, expected, "that may have been on its way before");
    bob.confirm().await;
    expected.push("bob/b1 has it");
    for _ in 0..2 {
        assert_eq!(told(&node, call).await, expected, "once");
    }
    bob.leave().await;
    assert_eq!(told(&node, call).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_not_heard_from_is_silent() {
    let exchange = Exchange::new();
    let (node, _) = exchange.noting_node();
    let alice = Phone::connect(&node, "alice/a1", "s-a1").await;
    let leaves = Phone::connect(&node, "bob/b1", "s-b1").await;
    let stays = Phone::connect(&node, "bob/b2", "s-b2").await;
    let call = alice.call("bob").await;
    leaves.leave().await;
    assert_eq!(told(&node, call).await.last().unwrap(), "bob/b1 is silent and gone");
    tokio::time::advance(Duration::from_secs(85)).await;
    assert_eq!(told(&node, call).await.last().unwrap(), "bob/b2 is silent");
    stays.socket.say();
    assert_eq!(told(&node, call).await.last().unwrap(), "bob/b2 is silent");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_said_so() {
    let exchange = Exchange::new();
    let (node, _) = exchange.noting_node();
    let alice = Phone::connect(&node, "alice/a1", "s-a1").await;
    let bob = Phone::connect(&node, "bob/b1", "s-b1").await;
    bob.socket.set_room(0);
    let call = alice.call("bob").await;
    assert_eq!(told(&node, call).await, ["alice/a1 begins with 1 devices", "no incoming_call to bob/b1"]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_goes_and_is_refused_is_noted() {
    let exchange = Exchange::new();
    let ((one, _), (two, _)) = (exchange.noting_node(), exchange.noting_node());
    let alice = Phone::connect(&one, "alice/a1", "s-a1").await;
    let call = alice.call("bob").await;
    let bob = Phone::connect(&two, "bob/b1", "s-b1").await;
    let mallory = Phone::connect(&two, "mallory/m1", "s-m1").await;
    assert!(mallory.accept(call).await.is_err());
    two.asked(call, None, "ringing");
    bob.accept(call).await.unwrap();
    assert!(bob.accept(call).await.is_err());
    alice.leave().await;
    two.write_timelines().await;
    let expected = [
        "alice/a1 begins with 0 devices",
        "bob/b1 registers",
        "incoming_call to bob/b1",
        "ringing",
        "bob/b1 answers",
        "call_accept to alice/a1",
        "bob/b1 may not call_accept",
        "alice/a1 is away",
    ];
    let mut noted = told(&one, call).await;
    noted.sort_unstable();
    let mut expected = expected.map(String::from);
    expected.sort_unstable();
    assert_eq!(noted, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_noted_is_written_down_soon_and_what_finds_no_room_is_counted() {
    let exchange = Exchange::new();
    let (node, metrics) = exchange.noting_node();
    let stop = CancellationToken::new();
    let writing = tokio::spawn({
        let (node, stop) = (node.clone(), stop.clone());
        async move { node.watch_timelines(stop).await }
    });
    let alice = Phone::connect(&node, "alice/a1", "s-a1").await;
    let call = alice.call("bob").await;
    node.asked(call, None, "ringing");
    node.asked(CallId::random(), None, "ringing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(node.notes.recorder.take(), []);
    assert_eq!(told(&node, call).await.len(), 2);
    assert_eq!(metrics.timeline_dropped.value(), 1, "of a call that has no timeline");
    stop.cancel();
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_notes_nothing_has_no_timelines() {
    let exchange = Exchange::new();
    let node = exchange.node();
    let alice = Phone::connect(&node, "alice/a1", "s-a1").await;
    let call = alice.call("bob").await;
    assert_eq!(told(&node, call).await, [""; 0]);
}
