//! What every backplane has to do, whatever is behind it. [`conformance!`](crate::backplane::conformance::conformance) makes
//! the tests for one [`Lab`]; they use nothing but the traits of the room.
//!
//! Time passes only by [`Lab::advance`], or while something is waited for. What must not arrive is not waited for: a message
//! sent after it, to a user of its own, shows that it would have been here.

pub(crate) mod calls;
pub(crate) mod devices;
pub(crate) mod due;
pub(crate) mod feed;
mod given;
pub(crate) mod inbox;
pub(crate) mod lines;
pub(crate) mod timelines;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backplane::{
    Backplane, Commit, Committed, Delivery, Expected, FeedBounds, Outgoing, Position, Receiver, Sent, TimelineBounds,
    Version,
};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::ids::{CallId, EventId, RequestId, SessionId, UserId};

/// How much the backplane under test keeps.
pub(crate) struct Limits {
    pub(crate) inbox_messages: usize,
    pub(crate) inbox_bytes: usize,
    pub(crate) inbox_ttl: Duration,
    pub(crate) over_ttl: Duration,
    pub(crate) feed: FeedBounds,
    pub(crate) timelines: TimelineBounds,
}

/// Small enough to be reached.
pub(crate) const LIMITS: Limits = Limits {
    inbox_messages: 16,
    inbox_bytes: 32 * 1024,
    inbox_ttl: Duration::from_secs(60),
    over_ttl: Duration::from_secs(30),
    feed: FeedBounds { calls: 4, ttl: Duration::from_secs(90) },
    timelines: TimelineBounds { calls: 4, ttl: Duration::from_secs(90) },
};
/// How much later than promised something that is kept for a while may be let go, and how long what has to come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How late a deadline may be acted on (P5).
const LATENESS_MAX: Duration = Duration::from_millis(250);

/// Where a backplane is tested.
#[async_trait]
pub(crate) trait Lab: Send + Sync + Sized {
    /// How exactly moments can be told apart: time may pass between an act and its answer.
    const GRAIN: Duration;

    /// An empty backplane within [`LIMITS`].
    async fn start() -> Self;

    /// One more node of it.
    async fn node(&self, receiver: Arc<dyn Receiver>) -> Arc<dyn Backplane>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Lets time pass.
    async fn advance(&self, by: Duration);

    /// Waits for what has to come, while time passes.
    async fn within<T>(&self, future: impl Future<Output = T> + Send) -> T {
        within(future).await
    }
}

/// Makes a test of everything in the suite, for one lab.
macro_rules! conformance {
    ($lab:ty, #[$test:meta]) => {
        $crate::backplane::conformance::conformance! { @ $lab, #[$test],
            calls::a_call_is_kept_as_it_was_committed,
            calls::one_of_many_changes_wins,
            calls::one_of_many_new_calls_wins,
            calls::a_change_of_what_is_not_there_is_lost,
            calls::a_new_call_needs_the_lists_as_they_were,
            calls::a_request_is_carried_out_once,
            calls::nothing_of_a_lost_commit_is_done,
            calls::all_of_a_commit_is_done,
            calls::live_calls_are_listed_until_they_end,
            calls::a_call_that_is_over_is_kept_for_a_while,
            devices::a_device_comes_goes_and_comes_back,
            devices::a_socket_without_a_device_is_one,
            devices::a_newer_session_takes_over_across_nodes,
            devices::a_session_does_not_displace_itself,
            devices::a_session_removes_only_what_is_its_own,
            devices::an_unnamed_caller_is_found_again,
            devices::an_unnamed_callee_is_found_again,
            devices::an_unnamed_device_is_found_only_if_a_call_waits_for_it,
            devices::a_push_token_is_kept_until_there_is_a_newer_one,
            devices::a_push_token_belongs_to_one_device,
            devices::a_dead_push_token_is_forgotten,
            devices::a_device_that_can_be_woken_is_remembered_for_longer,
            devices::devices_that_stay_away_are_forgotten,
            due::a_deadline_is_named_on_time,
            due::what_was_not_dealt_with_is_named_again,
            due::an_earlier_deadline_wakes_who_waits,
            due::a_deadline_that_moved_is_not_named_before,
            due::no_more_are_named_than_asked_for,
            due::a_waiter_may_give_up,
            due::two_nodes_share_the_work,
            feed::what_a_call_comes_to_is_named_with_all_that_is_known,
            feed::what_was_not_told_is_named_again_and_what_was_is_not,
            feed::two_nodes_are_not_named_the_same,
            feed::what_is_put_off_comes_back_in_order,
            feed::of_a_lost_change_nothing_is_told,
            feed::no_more_is_kept_to_be_told_than_fits,
            feed::what_was_not_kept_is_forgotten_when_everything_is_told,
            inbox::messages_are_kept_in_order,
            inbox::event_ids_rise_even_when_a_user_was_forgotten,
            inbox::signals_go_first_when_there_are_too_many,
            inbox::the_oldest_end_goes_first_when_there_are_only_ends,
            inbox::what_is_kept_is_bounded_in_bytes,
            inbox::the_end_of_a_call_clears_what_needed_it,
            inbox::messages_are_not_kept_for_ever,
            lines::only_nodes_that_subscribed_are_brought_messages,
            lines::every_node_sees_the_same_order,
            lines::what_was_missed_is_in_the_inbox,
            lines::a_commit_brings_its_messages_in_order,
            timelines::a_timeline_has_what_any_node_says_in_order,
            timelines::a_lost_change_says_nothing_and_an_unknown_call_has_no_timeline,
            timelines::of_one_call_the_first_entries_stay_and_its_end,
            timelines::the_oldest_timelines_are_let_go,
            timelines::timelines_are_not_kept_for_ever,
            timelines::a_timeline_outlasts_its_call,
            lines::a_message_has_its_place_in_a_trace_with_it,
        }
    };
    (@ $lab:ty, #[$test:meta], $($room:ident :: $name:ident),* $(,)?) => {
        $(
            #[$test]
            async fn $name() {
                use $crate::backplane::conformance::{Lab, $room};
                $room::$name(<$lab>::start().await).await;
            }
        )*
    };
}
pub(crate) use conformance;
pub(crate) use given::{
    accepted, device, end_of, far, incoming, notice, over, registration, requested, ringing, ringing_from, session,
    signal, user,
};

/// A node under test.
pub(crate) struct TestNode {
    pub(crate) backplane: Arc<dyn Backplane>,
    receiver: Arc<Recorder>,
}

/// What came out at a node.
#[derive(Default)]
struct Recorder {
    deliveries: Mutex<VecDeque<(UserId, Delivery)>>,
    displaced: Mutex<VecDeque<SessionId>>,
    /// The sessions that are here, and how far they have come.
    sessions: Mutex<HashMap<SessionId, Position>>,
    resumptions: AtomicUsize,
    arrived: Notify,
}

impl Receiver for Recorder {
    fn deliver(&self, user: &UserId, delivery: &Delivery) {
        self.deliveries.lock().push_back((user.clone(), delivery.clone()));
        self.arrived.notify_one();
    }

    fn displace(&self, _: &UserId, session: &SessionId) -> Option<Position> {
        self.displaced.lock().push_back(session.clone());
        self.arrived.notify_one();
        self.sessions.lock().remove(session)
    }

    fn interrupted(&self) {}

    fn resumed(&self) {
        self.resumptions.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
    }
}

impl TestNode {
    pub(crate) async fn new(lab: &impl Lab) -> Self {
        let receiver = Arc::new(Recorder::default());
        Self { backplane: lab.node(receiver.clone()).await, receiver }
    }

    /// The next message that comes out here.
    pub(crate) async fn delivered(&self) -> (UserId, Delivery) {
        self.come(&self.receiver.deliveries).await
    }

    /// The next session that is displaced here.
    async fn displaced(&self) -> SessionId {
        self.come(&self.receiver.displaced).await
    }

    /// How often messages have come again after an interruption.
    pub(crate) fn resumptions(&self) -> usize {
        self.receiver.resumptions.load(Ordering::SeqCst)
    }

    /// Waits until they have come again more often than that.
    pub(crate) async fn resumed_after(&self, resumptions: usize) {
        while self.resumptions() <= resumptions {
            within(self.receiver.arrived.notified()).await;
        }
    }

    async fn come<T>(&self, queue: &Mutex<VecDeque<T>>) -> T {
        loop {
            if let Some(next) = queue.lock().pop_front() {
                return next;
            }
            within(self.receiver.arrived.notified()).await;
        }
    }

    /// The call ids of what comes out here for `user`, up to a message sent now. The node has to be subscribed.
    async fn delivered_so_far(&self, user_id: &UserId) -> Vec<CallId> {
        let fence = CallId::random();
        self.send(end_of(fence, user_id)).await;
        let mut calls = Vec::new();
        loop {
            let (to, delivery) = self.delivered().await;
            match delivery.payload.call_id() {
                call if call == fence => return calls,
                call => calls.push(call),
            }
            assert_eq!(to, *user_id);
        }
    }

    pub(crate) async fn inbox(&self, user: &UserId) -> Vec<Delivery> {
        self.inbox_after(user, EventId(0)).await
    }

    async fn inbox_after(&self, user: &UserId, after: EventId) -> Vec<Delivery> {
        let backlog = self.backplane.read(user, after).await.unwrap();
        backlog.messages.into_iter().map(|kept| kept.delivery).collect()
    }

    /// Sends outside of any call.
    pub(crate) async fn send(&self, outgoing: Outgoing) {
        assert_eq!(self.backplane.send(outgoing, None).await, Ok(Sent::Done));
    }

    /// The call that Alice made under `request`.
    async fn made_under(&self, caller: &UserId, request: &RequestId) -> Option<CallId> {
        self.backplane.prospect(caller, &user("bob"), Some(request)).await.unwrap().repeated
    }

    async fn inbox_calls(&self, user: &UserId) -> Vec<CallId> {
        self.inbox(user).await.iter().map(|delivery| delivery.payload.call_id()).collect()
    }

    async fn live(&self, user: &UserId) -> Vec<CallId> {
        self.backplane.live_calls(user).await.unwrap().calls.iter().map(|stored| stored.call.id).collect()
    }

    /// What a new call between the two would be made upon at present.
    pub(crate) async fn expected_new(&self, call: &Call) -> Expected {
        let callee_calls = self.backplane.live_calls(&call.callee).await.unwrap().version;
        let caller_calls = self.backplane.live_calls(&call.caller.user).await.unwrap().version;
        Expected::New { callee_calls, caller_calls }
    }

    /// Begins a call.
    pub(crate) async fn begin(&self, call: &Call) -> Version {
        let commit = Commit {
            expected: self.expected_new(call).await,
            call: call.clone().into(),
            outbox: Vec::new(),
            milestones: Vec::new(),
            entries: Vec::new(),
        };
        assert_eq!(self.backplane.commit(commit).await, Ok(Committed::Done));
        self.version(call.id).await
    }

    async fn version(&self, id: CallId) -> Version {
        self.backplane.load(id).await.unwrap().unwrap().version
    }

    /// Changes a call.
    pub(crate) async fn change(&self, call: Call, outbox: Vec<Outgoing>) {
        let expected = Expected::Version(self.version(call.id).await);
        assert_eq!(
            self.backplane
                .commit(Commit { expected, call: call.into(), outbox, milestones: Vec::new(), entries: Vec::new() })
                .await,
            Ok(Committed::Done)
        );
    }

    /// Lets time pass while the node watches deadlines, as a node does. None of them may pass.
    pub(crate) async fn pass(&self, lab: &impl Lab, by: Duration) {
        tokio::select! {
            biased;
            due = self.backplane.due(16) => panic!("{due:?} named too early"),
            () = lab.advance(by) => {}
        }
    }
}

/// Waits for what has to come.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}
