//! Sockets come and go: registration, what was missed, and who is told of a departure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::backplane::{Backlog, Delivery, Kept, Payload, Position, Registration, Renewed, Stored, Unavailable};
use crate::call::{Audience, Command, Event, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, EventId, SessionId, UserId};
use crate::switchboard::departures::Departure;
use crate::switchboard::{CloseReason, Failure, Outlet, Seat, Switchboard};

/// For how long a connection may have been dead before anybody notices: a ping and its time-out, as they are by default.
const UNNOTICED_FOR: Duration = Duration::from_secs(85);
/// How long to wait before seats that could not be mended are tried again.
const MEND_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How many seats are mended at a time.
const MEND_BATCH: usize = 64;
/// How often it is written down again who is connected; what is written down is kept for a day.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// A seat that was taken, and what is to be sent there first.
pub struct Arrival {
    /// The seat; its gate is held.
    pub seat: Arc<Seat>,
    missed: Missed,
    /// The live calls of the user.
    calls: Vec<Stored>,
}

impl Arrival {
    /// Since when the user has been in an accepted call, by this device or another one; `None` if in none.
    pub fn user_in_call_since(&self) -> Option<Timestamp> {
        let since = |stored: &Stored| match &stored.call.state {
            State::Accepted(accepted) => Some(accepted.at),
            State::Ringing(_) | State::Over(_) => None,
        };
        self.calls.iter().filter_map(since).min()
    }
}

/// What a device has not had yet and still needs, in order, and how far the inbox was read to find that out.
pub(super) struct Missed {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) read_to: EventId,
}

impl Switchboard {
    /// Takes a seat for a socket. From here on messages gather there; [`Switchboard::go_live`] lets them through.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn register(
        &self,
        registration: Registration,
        last_event: Option<EventId>,
        outlet: Arc<dyn Outlet>,
    ) -> Result<Arrival, Unavailable> {
        let user = registration.user.clone();
        let session = registration.session.clone();
        let confirmed = last_event.map(|id| Position { received: id, described: id });
        let (seat, start, subscribed) = {
            // Whoever attaches next has to find this seat, to displace it.
            let _turn = self.line.turn(&user).await;
            self.departures.forget(&session);
            let expected = self.line.expect(&registration.session);
            // One trip for both; the inbox is read when both are done.
            let (attached, subscribed) =
                tokio::join!(self.backplane.attach(registration.clone()), self.backplane.subscribe(&user));
            let attached = match attached {
                Ok(attached) => attached,
                Err(unavailable) => {
                    if !self.line.holds(&user) {
                        self.backplane.unsubscribe(&user).await;
                    }
                    // Perhaps it was only the answer that got lost.
                    self.departures.note(&user, &session, Departure::Unseated);
                    return Err(unavailable);
                }
            };
            let start = Start::new(attached.position, attached.lost_at, confirmed);
            let seat = Seat::new(
                registration,
                attached.device,
                start.position(),
                outlet,
                self.clock,
                self.notes.clone(),
                self.traces.clone(),
            );
            let seat = Arc::new(seat);
            self.line.add(&seat, expected);
            (seat, start, subscribed)
        };
        let missed = match subscribed {
            Ok(()) => self.missed(&seat, start).await,
            Err(unavailable) => Err(unavailable),
        };
        match missed {
            Ok((missed, calls)) => {
                self.notes.came(&seat, &calls);
                if seat.can_be_woken() {
                    self.observed.came(&user, &calls, self.clock.now());
                }
                Ok(Arrival { seat, missed, calls })
            }
            Err(unavailable) => {
                // Half a registration is none: the client will ask again.
                let _ = self.leave(&seat).await;
                Err(unavailable)
            }
        }
    }

    /// Another `register` on a socket that has a seat: its push token may be a new one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn register_again(&self, seat: &Seat, registration: Registration) -> Result<(), Unavailable> {
        seat.add_tokens(registration.tokens.clone());
        self.backplane.attach(registration).await.map(drop)
    }

    /// Sends what was missed and what has come since, and tells the calls of the user that the device is here.
    ///
    /// # Errors
    /// [`Failure`]; the seat is live all the same.
    pub async fn go_live(&self, arrival: Arrival) -> Result<Arc<Seat>, Failure> {
        let Arrival { seat, missed, calls } = arrival;
        self.observed.metrics.inbox_replays.add(missed.deliveries.len());
        seat.open(missed).await;
        self.back(&seat, calls).await?;
        Ok(seat)
    }

    /// Tells calls that the device of `seat` is here.
    async fn back(&self, seat: &Seat, calls: Vec<Stored>) -> Result<(), Failure> {
        let command =
            Command::Back { user: seat.user().clone(), device: seat.device().clone(), formerly: Some(seat.formerly()) };
        let own = calls.into_iter().filter(|stored| stored.call.is_live() && stored.call.has_party(seat.user()));
        self.apply_to_calls(own.collect(), &command).await
    }

    /// After every interruption, until `stop`: writes down again who is connected here, and sends what was missed.
    pub async fn watch_interruptions(&self, stop: CancellationToken) {
        loop {
            // Waits for messages to come again after an interruption, or for the node to stop.
            tokio::select! {
                () = self.line.resumption() => {}
                () = stop.cancelled() => return,
            }
            // A seat that could not be mended is tried again: nobody else would.
            loop {
                let seats: Vec<_> =
                    self.line.seats().into_iter().filter(|seat| seat.interruption().is_some()).collect();
                if seats.is_empty() {
                    break;
                }
                for batch in seats.chunks(MEND_BATCH) {
                    join_all(batch.iter().map(|seat| self.mend(seat))).await;
                }
                if seats.iter().any(|seat| seat.interruption().is_some())
                    && tokio::time::timeout(MEND_AGAIN_AFTER, stop.cancelled()).await.is_ok()
                {
                    return;
                }
            }
        }
    }

    async fn mend(&self, seat: &Seat) {
        let Some(interruption) = seat.interruption() else { return };
        // Where this fails the seat stays interrupted, and is mended later.
        match self.backplane.renew(&seat.registration(), seat.device(), seat.position()).await {
            Ok(Renewed::Held) => {}
            Ok(Renewed::Displaced) => {
                seat.close(CloseReason::Displaced);
                return;
            }
            Err(Unavailable) => return,
        }
        let Ok(backlog) = self.backplane.read(seat.user(), interruption.passed).await else { return };
        let calls = backlog.calls.clone();
        self.observed.metrics.inbox_replays.add(seat.catch_up(interruption, backlog));
        let noted = async {
            self.back(seat, calls.clone()).await?;
            self.miss_others(seat, &calls).await
        };
        if let Err(failure) = noted.await {
            tracing::warn!(session = %seat.session(), %failure, "a return could not be noted");
        }
    }

    /// Tells calls of the other parties that are not connected anywhere: that they had left may have been lost.
    async fn miss_others(&self, seat: &Seat, calls: &[Stored]) -> Result<(), Failure> {
        for stored in calls {
            for party in stored.call.needed_parties() {
                if !party.is(seat.user(), seat.device()) && !self.is_connected(&party).await? {
                    self.away(&party.user, &party.device).await?;
                }
            }
        }
        Ok(())
    }

    /// Keeps written down who is connected here, for as long as they are, until `stop`.
    pub async fn keep_presence(&self, stop: CancellationToken) {
        while tokio::time::timeout(RENEW_EVERY, stop.cancelled()).await.is_err() {
            for seat in self.line.seats() {
                let renewed = self.backplane.renew(&seat.registration(), seat.device(), seat.position()).await;
                if renewed == Ok(Renewed::Displaced) {
                    seat.close(CloseReason::Displaced);
                }
                if stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// The socket of `seat` is gone. Its calls are told, unless another socket of the same device has taken over.
    ///
    /// # Errors
    /// [`Failure`]; it will be noted all the same, as soon as that is possible.
    pub async fn leave(&self, seat: &Seat) -> Result<(), Failure> {
        // First: a socket that takes over in between has to find the position here or there.
        let left = self.depart(seat.user(), seat.session(), Departure::Left(seat.device().clone(), seat.stop())).await;
        self.give_up(seat).await;
        left
    }

    /// The app on this socket has signed out: the device is neither rung nor woken any more.
    ///
    /// # Errors
    /// [`Failure`]; it will be noted all the same, as soon as that is possible.
    pub async fn unregister(&self, seat: &Seat) -> Result<(), Failure> {
        seat.stop();
        let left = self.depart(seat.user(), seat.session(), Departure::SignedOut(seat.device().clone())).await;
        self.give_up(seat).await;
        left
    }

    /// A socket acts without having registered.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn note_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Failure> {
        Ok(self.backplane.note_unregistered(user, session).await?)
    }

    /// A socket that had acted without ever registering is gone.
    ///
    /// # Errors
    /// [`Failure`]; it will be noted all the same, as soon as that is possible.
    pub async fn leave_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Failure> {
        self.depart(user, session, Departure::Unregistered).await
    }

    async fn give_up(&self, seat: &Seat) {
        let _turn = self.line.turn(seat.user()).await;
        if self.line.remove(seat) {
            self.backplane.unsubscribe(seat.user()).await;
        }
    }

    async fn missed(&self, seat: &Seat, start: Start) -> Result<(Missed, Vec<Stored>), Unavailable> {
        let Backlog { messages, last, calls } = self.backplane.read(seat.user(), start.position().received).await?;
        let states: HashMap<CallId, &State> = calls.iter().map(|stored| (stored.call.id, &stored.call.state)).collect();
        let is_for_it = |kept: &Kept| {
            let state = states.get(&kept.delivery.payload.call_id()).copied();
            seat.is_meant(&kept.delivery.audience) && start.needs(kept, state)
        };
        let deliveries = messages.into_iter().filter(is_for_it).map(|kept| kept.delivery).collect();
        Ok((Missed { deliveries, read_to: last }, calls))
    }
}

/// Where a device that registers goes on.
#[derive(Clone, Copy)]
enum Start {
    /// It has not been here before.
    New,
    /// It says itself how far it has come.
    Confirmed(Position),
    /// It has come so far, as its last socket knew.
    Noted(Position),
    /// It had come so far when its last socket registered; that socket was lost at this moment with all it knew.
    Lost(Position, Timestamp),
}

impl Start {
    fn new(noted: Option<Position>, lost_at: Option<Timestamp>, confirmed: Option<Position>) -> Self {
        match (confirmed, noted, lost_at) {
            (Some(position), _, _) => Self::Confirmed(position),
            (None, Some(position), Some(at)) => Self::Lost(position, at),
            (None, Some(position), None) => Self::Noted(position),
            (None, None, _) => Self::New,
        }
    }

    fn position(self) -> Position {
        match self {
            Self::New => Position::default(),
            Self::Confirmed(position) | Self::Noted(position) | Self::Lost(position, _) => position,
        }
    }

    /// Whether the device has not had a message, as far as anybody knows.
    fn is_new(self, kept: &Kept) -> bool {
        let id = kept.delivery.id;
        let is_description = kept.delivery.payload.is_description();
        match self {
            Self::New => true,
            Self::Confirmed(position) | Self::Noted(position) => {
                id > if is_description { position.described.max(position.received) } else { position.received }
            }
            // A second description breaks a call: it is sent again only if it cannot have been sent. Of the rest, what was sent
            // long before the loss has arrived, or the loss would have been noticed earlier.
            Self::Lost(position, _) if is_description => {
                id > position.described.max(position.received) && kept.reached_nobody
            }
            Self::Lost(position, at) => id > position.received && kept.sent_at.plus(UNNOTICED_FOR) >= at,
        }
    }

    /// Whether the device needs a message. Of a call that is over it needs the end alone, and that only if it may have heard of
    /// the call: because it was connected before, or because the end is for it and no other.
    fn needs(self, kept: &Kept, state: Option<&State>) -> bool {
        let is_new = self.is_new(kept);
        match &*kept.delivery.payload {
            // Rings again after a restart of the app, which may know nothing of what its socket was sent.
            Payload::Notice(notice) if matches!(notice.event, Event::Incoming { .. }) => {
                matches!(state, Some(State::Ringing(_))) && (is_new || !matches!(self, Self::Confirmed(_)))
            }
            Payload::Notice(notice) if matches!(notice.event, Event::Accepted { .. }) => {
                is_new && matches!(state, Some(State::Accepted(_)))
            }
            Payload::Notice(_) => {
                let has_been_here = !matches!(self, Self::New);
                is_new && (has_been_here || matches!(kept.delivery.audience, Audience::Only(_)))
            }
            Payload::Signal(_) => is_new && matches!(state, Some(State::Accepted(_))),
        }
    }
}
