//! Sockets come and go: registration, what was missed, and who is told of a departure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::backplane::{Delivery, Payload, Position, Registration, Unavailable};
use crate::call::{Audience, Command, Event, State};
use crate::ids::{CallId, EventId, SessionId, UserId};
use crate::switchboard::{Failure, Outlet, Seat, Switchboard};

/// A seat that was taken, and what is to be sent there first.
pub struct Arrival {
    /// The seat; its gate is held.
    pub seat: Arc<Seat>,
    missed: Missed,
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
        let (seat, start) = {
            // Whoever attaches next has to find this seat, to displace it.
            let _turn = self.line.turn(&user).await;
            let attached = self.backplane.attach(registration).await?;
            let start = confirmed.or(attached.position);
            let seat = Seat::new(user.clone(), session, attached.device, start.unwrap_or_default(), outlet, self.clock);
            let seat = Arc::new(seat);
            self.line.add(seat.clone());
            (seat, start)
        };
        let missed = match self.backplane.subscribe(&user).await {
            Ok(()) => self.missed(&seat, start, last_event.is_some()).await,
            Err(unavailable) => Err(unavailable),
        };
        match missed {
            Ok(missed) => Ok(Arrival { seat, missed }),
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
    pub async fn register_again(&self, registration: Registration) -> Result<(), Unavailable> {
        self.backplane.attach(registration).await.map(drop)
    }

    /// Sends what was missed and what has come since, and tells the calls of the user that the device is here.
    ///
    /// # Errors
    /// [`Failure`]; the seat is live all the same.
    pub async fn go_live(&self, arrival: Arrival) -> Result<Arc<Seat>, Failure> {
        let Arrival { seat, missed } = arrival;
        seat.open(missed).await;
        let command =
            Command::Back { user: seat.user().clone(), device: seat.device().clone(), formerly: Some(seat.formerly()) };
        self.apply_to_live_calls(seat.user(), &command).await?;
        Ok(seat)
    }

    /// The socket of `seat` is gone. Its calls are told, unless another socket of the same device has taken over.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn leave(&self, seat: &Seat) -> Result<(), Failure> {
        let position = seat.stop();
        // First: a socket that takes over in between has to find the position here or there.
        let left = self.backplane.detach(seat.user(), seat.session(), position).await;
        self.give_up(seat).await;
        match left? {
            Some(device) => self.away(seat.user(), &device).await,
            None => Ok(()),
        }
    }

    /// The app on this socket has signed out: the device is neither rung nor woken any more.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn unregister(&self, seat: &Seat) -> Result<(), Failure> {
        seat.stop();
        let left = self.backplane.forget(seat.user(), seat.session()).await;
        self.give_up(seat).await;
        match left? {
            Some(device) => self.away(seat.user(), &device).await,
            None => Ok(()),
        }
    }

    /// A socket that had acted without ever registering is gone.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn leave_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Failure> {
        self.away(user, &session.unnamed_device()).await
    }

    async fn give_up(&self, seat: &Seat) {
        let _turn = self.line.turn(seat.user()).await;
        if self.line.remove(seat) {
            self.backplane.unsubscribe(seat.user()).await;
        }
    }

    async fn missed(&self, seat: &Seat, start: Option<Position>, is_confirmed: bool) -> Result<Missed, Unavailable> {
        let inbox = self.backplane.read(seat.user(), EventId(0)).await?;
        let mut stations: HashMap<CallId, Option<State>> = HashMap::new();
        let read_to = inbox.last().map_or(EventId(0), |delivery| delivery.id);
        let mut deliveries = Vec::new();
        for delivery in inbox.into_iter().filter(|delivery| seat.is_meant(&delivery.audience)) {
            let call_id = delivery.payload.call_id();
            if let Entry::Vacant(unknown) = stations.entry(call_id) {
                unknown.insert(self.backplane.load(call_id).await?.map(|stored| stored.call.state.clone()));
            }
            let state = stations.get(&call_id).and_then(Option::as_ref);
            if is_needed(&delivery, state, start, is_confirmed) {
                deliveries.push(delivery);
            }
        }
        Ok(Missed { deliveries, read_to })
    }
}

/// Whether a device that has come as far as `start` needs `delivery`. Of a call that is over it needs the end alone, and that
/// only if it may have heard of the call: because it was connected before, or because the end is for it and no other.
fn is_needed(delivery: &Delivery, state: Option<&State>, start: Option<Position>, is_confirmed: bool) -> bool {
    let is_new = start.is_none_or(|start| {
        let seen = if delivery.payload.is_description() { start.described.max(start.received) } else { start.received };
        delivery.id > seen
    });
    match &*delivery.payload {
        // Rings again after a restart of the app, which may know nothing of what its socket was sent.
        Payload::Notice(notice) if matches!(notice.event, Event::Incoming { .. }) => {
            matches!(state, Some(State::Ringing(_))) && (is_new || !is_confirmed)
        }
        Payload::Notice(notice) if matches!(notice.event, Event::Accepted { .. }) => {
            is_new && matches!(state, Some(State::Accepted(_)))
        }
        Payload::Notice(_) => is_new && (start.is_some() || matches!(delivery.audience, Audience::Only(_))),
        Payload::Signal(_) => is_new && matches!(state, Some(State::Accepted(_))),
    }
}
