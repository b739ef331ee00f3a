//! Devices: where they are, how far they have come, and who may remove them.

use crate::backplane::conformance::{
    LIMITS, Lab, PATIENCE, TestNode, accepted, device, far, over, registration, ringing_from, session, user,
};
use crate::backplane::{Attached, PUSH_TOKEN_TTL, Position, Registration};
use crate::ids::{DeviceId, EventId, PushToken, PushTokenKind, PushTokens};

fn position(received: u64) -> Position {
    Position { received: EventId(received), described: EventId(received + 1) }
}

impl TestNode {
    /// Connects a socket of Alice. Answers its device and how far that had come.
    async fn attach(&self, lab: &impl Lab, device_name: Option<&str>, session_name: &str) -> Attached {
        self.receiver.sessions.lock().insert(session(session_name), position(0));
        self.backplane.attach(registration("alice", device_name, session_name, lab.now())).await.unwrap()
    }

    async fn detach(&self, session_name: &str, at: Position) -> Option<DeviceId> {
        self.backplane.detach(&user("alice"), &session(session_name), at).await.unwrap()
    }

    async fn forget(&self, session_name: &str) -> Option<DeviceId> {
        self.backplane.forget(&user("alice"), &session(session_name)).await.unwrap()
    }

    /// The devices of Alice, and whether they are connected.
    async fn devices(&self) -> Vec<(DeviceId, bool)> {
        let mut devices = self.backplane.devices(&user("alice")).await.unwrap();
        devices.sort_by(|a, b| a.id.cmp(&b.id));
        devices.into_iter().map(|device| (device.id, device.is_connected)).collect()
    }
}

fn fresh(name: &str) -> Attached {
    Attached { device: device(name), position: None, lost_at: None }
}

pub(crate) async fn a_device_comes_goes_and_comes_back(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    assert_eq!(one.devices().await, []);
    assert_eq!(one.attach(&lab, Some("phone"), "s1").await, fresh("phone"));
    assert_eq!(one.attach(&lab, Some("tablet"), "s2").await, fresh("tablet"));
    assert_eq!(two.devices().await, [(device("phone"), true), (device("tablet"), true)]);
    assert_eq!(one.detach("s1", position(7)).await, Some(device("phone")));
    assert_eq!(two.devices().await, [(device("phone"), false), (device("tablet"), true)]);
    let back = Attached { device: device("phone"), position: Some(position(7)), lost_at: None };
    assert_eq!(two.attach(&lab, Some("phone"), "s3").await, back);
    assert_eq!(two.forget("s3").await, Some(device("phone")));
    assert_eq!(one.devices().await, [(device("tablet"), true)]);
    assert_eq!(one.attach(&lab, Some("phone"), "s4").await, fresh("phone"));
    assert_eq!(one.backplane.devices(&user("bob")).await, Ok(vec![]), "devices are their user's");
}

pub(crate) async fn a_socket_without_a_device_is_one(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    assert_eq!(node.attach(&lab, None, "s1").await, fresh("s1"));
    assert_eq!(node.attach(&lab, None, "s2").await, fresh("s2"));
    assert_eq!(node.detach("s1", position(3)).await, Some(device("s1")));
    assert_eq!(node.devices().await, [(device("s1"), false), (device("s2"), true)]);
}

pub(crate) async fn a_newer_session_takes_over_across_nodes(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    one.attach(&lab, Some("phone"), "old").await;
    one.attach(&lab, Some("tablet"), "other").await;
    one.receiver.sessions.lock().insert(session("old"), position(42));
    let attached = two.attach(&lab, Some("phone"), "new").await;
    assert_eq!(
        attached,
        Attached { device: device("phone"), position: Some(position(42)), lost_at: None },
        "handed over"
    );
    assert_eq!(one.displaced().await, session("old"));
    assert_eq!(two.devices().await, [(device("phone"), true), (device("tablet"), true)]);

    let third = one.attach(&lab, Some("phone"), "newest").await;
    assert_eq!(third.position, Some(position(0)));
    assert_eq!(two.displaced().await, session("new"));
    assert!(one.receiver.displaced.lock().is_empty() && two.receiver.displaced.lock().is_empty(), "nobody else");
}

pub(crate) async fn a_session_does_not_displace_itself(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    node.attach(&lab, Some("phone"), "s1").await;
    node.attach(&lab, Some("phone"), "s1").await;
    assert!(node.receiver.displaced.lock().is_empty());
    assert_eq!(node.detach("s1", position(1)).await, Some(device("phone")));
    assert_eq!(node.devices().await, [(device("phone"), false)]);
}

pub(crate) async fn a_session_removes_only_what_is_its_own(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    one.attach(&lab, Some("phone"), "old").await;
    one.receiver.sessions.lock().insert(session("old"), position(5));
    two.attach(&lab, Some("phone"), "new").await;
    assert_eq!(one.detach("old", position(1)).await, None);
    assert_eq!(one.forget("old").await, None);
    assert_eq!(one.forget("never").await, None);
    assert_eq!(one.backplane.forget(&user("bob"), &session("new")).await, Ok(None), "sessions are their user's");
    assert_eq!(two.devices().await, [(device("phone"), true)]);
    assert_eq!(two.detach("new", position(9)).await, Some(device("phone")));
    assert_eq!(two.detach("new", position(1)).await, None);
    let back = one.attach(&lab, Some("phone"), "newest").await;
    assert_eq!(back.position, Some(position(9)), "the position is the last owner's");
}

pub(crate) async fn an_unnamed_caller_is_found_again(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    one.attach(&lab, None, "s1").await;
    one.begin(&ringing_from("s1", far())).await;
    one.detach("s1", position(4)).await;
    let found = two.attach(&lab, None, "s2").await;
    assert_eq!(found, Attached { device: device("s1"), position: Some(position(4)), lost_at: None });
    assert_eq!(two.devices().await, [(device("s1"), true)]);
    assert_eq!(two.attach(&lab, None, "s3").await, fresh("s3"), "it is connected, and waited for no more");
    assert_eq!(two.detach("s2", position(6)).await, Some(device("s1")));
}

pub(crate) async fn an_unnamed_callee_is_found_again(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let at = lab.now();
    let attach = |name: &'static str| node.backplane.attach(registration("bob", None, name, at));
    attach("s1").await.unwrap();
    let call = ringing_from("a1", far());
    node.begin(&call).await;
    node.change(accepted(call, "s1"), Vec::new()).await;
    node.backplane.detach(&user("bob"), &session("s1"), position(4)).await.unwrap();
    let found = attach("s2").await.unwrap();
    assert_eq!(found, Attached { device: device("s1"), position: Some(position(4)), lost_at: None });
}

pub(crate) async fn an_unnamed_device_is_found_only_if_a_call_waits_for_it(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    // No call.
    node.attach(&lab, None, "s1").await;
    node.detach("s1", position(1)).await;
    assert_eq!(node.attach(&lab, None, "s2").await, fresh("s2"));
    // A call of another device, and that device has a name.
    node.attach(&lab, Some("phone"), "s3").await;
    let call = ringing_from("phone", far());
    node.begin(&call).await;
    node.detach("s3", position(1)).await;
    assert_eq!(node.attach(&lab, None, "s4").await, fresh("s4"));
    // A call that is over.
    let call = ringing_from("s4", far());
    node.begin(&call).await;
    node.change(over(call), Vec::new()).await;
    node.detach("s4", position(1)).await;
    assert_eq!(node.attach(&lab, None, "s5").await, fresh("s5"));
    // A socket that names its device is that device.
    node.begin(&ringing_from("s5", far())).await;
    node.detach("s5", position(1)).await;
    assert_eq!(node.attach(&lab, Some("watch"), "s6").await, fresh("watch"));
    assert_eq!(node.attach(&lab, None, "s7").await.device, device("s5"));
}

fn tokens(fcm: Option<&str>, apns_voip: Option<&str>) -> PushTokens {
    let both = [(PushTokenKind::Fcm, fcm), (PushTokenKind::ApnsVoip, apns_voip)];
    both.into_iter().filter_map(|(kind, text)| Some((kind, PushToken::parse(text?).unwrap()))).collect()
}

async fn tokens_of(node: &TestNode, user_name: &str) -> Vec<(DeviceId, PushTokens)> {
    let devices = node.backplane.devices(&user(user_name)).await.unwrap();
    devices.into_iter().map(|device| (device.id, device.tokens)).collect()
}

pub(crate) async fn a_push_token_is_kept_until_there_is_a_newer_one(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    for (session_name, sent, kept) in [
        ("s1", (None, None), (None, None)),
        ("s1", (Some("token-1"), None), (Some("token-1"), None)),
        ("s1", (None, Some("voip-1")), (Some("token-1"), Some("voip-1"))),
        ("s2", (None, None), (Some("token-1"), Some("voip-1"))),
        ("s2", (Some("token-2"), None), (Some("token-2"), Some("voip-1"))),
    ] {
        let sent = tokens(sent.0, sent.1);
        let registration = registration("alice", Some("phone"), session_name, lab.now());
        node.backplane.attach(Registration { tokens: sent, ..registration }).await.unwrap();
        assert_eq!(tokens_of(&node, "alice").await, [(device("phone"), tokens(kept.0, kept.1))]);
    }
}

pub(crate) async fn a_push_token_belongs_to_one_device(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let attach = async |node: &TestNode, user_name: &str, device_name: &str, sent: PushTokens| {
        let session_name = format!("{user_name}-{device_name}");
        let registration = registration(user_name, Some(device_name), &session_name, lab.now());
        node.backplane.attach(Registration { tokens: sent, ..registration }).await.unwrap();
    };
    attach(&one, "alice", "phone", tokens(Some("t"), Some("v"))).await;
    attach(&two, "bob", "phone", tokens(Some("t"), None)).await;
    assert_eq!(
        tokens_of(&one, "alice").await,
        [(device("phone"), tokens(None, Some("v")))],
        "another user signed in there"
    );
    assert_eq!(tokens_of(&one, "bob").await, [(device("phone"), tokens(Some("t"), None))]);
    attach(&one, "bob", "renamed", tokens(Some("t"), None)).await;
    let mut of_bob = tokens_of(&one, "bob").await;
    of_bob.sort_by(|(one, _), (two, _)| one.cmp(two));
    assert_eq!(of_bob, [(device("phone"), tokens(None, None)), (device("renamed"), tokens(Some("t"), None))]);
    // The first to have it may have got another one meanwhile, and keeps that.
    attach(&one, "alice", "phone", tokens(Some("u"), None)).await;
    attach(&one, "bob", "renamed", tokens(Some("t"), Some("v"))).await;
    assert_eq!(tokens_of(&two, "alice").await, [(device("phone"), tokens(Some("u"), None))]);
}

pub(crate) async fn a_dead_push_token_is_forgotten(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let registration = registration("alice", Some("phone"), "s1", lab.now());
    node.backplane.attach(Registration { tokens: tokens(Some("t"), Some("v")), ..registration }).await.unwrap();
    for (kind, dead, left) in [
        (PushTokenKind::Fcm, "older", tokens(Some("t"), Some("v"))),
        (PushTokenKind::ApnsVoip, "v", tokens(Some("t"), None)),
        (PushTokenKind::Fcm, "t", tokens(None, None)),
    ] {
        let dead = PushToken::parse(dead).unwrap();
        node.backplane.forget_token(&user("alice"), &device("phone"), kind, &dead).await.unwrap();
        assert_eq!(tokens_of(&node, "alice").await, [(device("phone"), left)]);
    }
}

pub(crate) async fn a_device_that_can_be_woken_is_remembered_for_longer(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let registration = registration("alice", Some("phone"), "s1", lab.now());
    node.backplane.attach(Registration { tokens: tokens(Some("t"), None), ..registration }).await.unwrap();
    node.detach("s1", position(1)).await;
    node.pass(&lab, LIMITS.inbox_ttl * 10).await;
    assert_eq!(node.devices().await, [(device("phone"), false)]);
    node.pass(&lab, PUSH_TOKEN_TTL).await;
    assert_eq!(node.devices().await, []);
}

pub(crate) async fn devices_that_stay_away_are_forgotten(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    node.attach(&lab, Some("here"), "s1").await;
    node.attach(&lab, Some("gone"), "s2").await;
    node.pass(&lab, LIMITS.inbox_ttl + PATIENCE).await;
    assert_eq!(node.devices().await, [(device("gone"), true), (device("here"), true)]);
    node.detach("s2", position(1)).await;
    node.pass(&lab, LIMITS.inbox_ttl / 2).await;
    assert_eq!(node.devices().await, [(device("gone"), false), (device("here"), true)]);
    node.pass(&lab, LIMITS.inbox_ttl / 2 + PATIENCE).await;
    assert_eq!(node.devices().await, [(device("here"), true)]);
}
