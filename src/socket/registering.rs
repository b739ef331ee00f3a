//! `register` and `unregister`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ids::{DeviceId, EventId, UserId};
use crate::protocol::{Problem, Registered, Registration};
use crate::socket::reply::Reply;
use crate::socket::requests::within;
use crate::socket::session::Session;
use crate::switchboard::{self, Arrival, Failure, Seat, Unavailable};

/// What `register` came to.
enum Outcome {
    /// The socket has a seat.
    Arrived(Arrival),
    /// It had one already, for this device.
    Again(DeviceId),
}

impl Session {
    pub(super) async fn serve_register(&self, registration: Registration, reply: Reply, limit: Duration) {
        match within(limit, self.register(registration)).await {
            Ok(Outcome::Arrived(arrival)) => {
                let body = Registered::first(self.id(), arrival.seat.device());
                let _ = self.wire().emit("registered", &body);
                reply.send(&body);
                let in_call_since = arrival.user_in_call_since();
                if let Err(failure) = self.hub().switchboard.go_live(arrival).await {
                    tracing::warn!(session = %self.id(), %failure, "a return could not be noted");
                }
                if let Some(since) = in_call_since {
                    self.hub().ice_renewals.in_call(self.id(), since);
                }
            }
            Ok(Outcome::Again(device)) => {
                let body = Registered::again(&device);
                let _ = self.wire().emit("registered", &body);
                reply.send(&body);
            }
            Err(problem) => {
                let _ = self.wire().emit("registration_error", &problem);
                reply.refuse(&problem);
            }
        }
    }

    async fn register(&self, registration: Registration) -> Result<Outcome, Problem> {
        let Registration { user, device, platform, tokens, last_event } = registration;
        self.check_user(&user)?;
        // The same name in the same memory.
        let user = self.token_user().cloned().unwrap_or(user);
        let registering = switchboard::Registration {
            user: user.clone(),
            device,
            session: self.id().clone(),
            platform,
            tokens,
            at: self.hub().clock.now(),
        };
        let calls = &self.hub().switchboard;
        if let Some(seat) = self.seat() {
            if registering.device.as_ref().is_none_or(|device| device == seat.device()) {
                let device = seat.device().clone();
                let registering = switchboard::Registration { device: Some(device.clone()), ..registering };
                calls.register_again(&seat, registering).await.map_err(|_| Problem::unavailable())?;
                return Ok(Outcome::Again(device));
            }
            // The same socket under another device: as if it had gone and come back.
            self.set_seat(None);
            calls.leave(&seat).await.map_err(|_| Problem::unavailable())?;
        }
        let arrival = self.arrive(registering, last_event).await.map_err(|_| Problem::unavailable())?;
        self.claim_user(user);
        self.set_seat(Some(arrival.seat.clone()));
        Ok(Outcome::Arrived(arrival))
    }

    /// Takes a seat, in a task of its own: half a registration must not stay when nobody waits for it any more.
    async fn arrive(
        &self,
        registering: switchboard::Registration,
        last_event: Option<EventId>,
    ) -> Result<Arrival, Unavailable> {
        // One that was given up may still be on its way, or being undone.
        let earlier = self.take_registering();
        if let Some(earlier) = earlier {
            let _ = earlier.await;
        }
        let (calls, wire) = (self.hub().switchboard.clone(), self.wire().clone());
        let (arrived, arrival) = oneshot::channel();
        let (done, ended) = oneshot::channel::<()>();
        self.set_registering(ended);
        self.hub().lifecycle.spawn(async move {
            let _done = done;
            let result = calls.register(registering, last_event, wire).await;
            if let Err(Ok(unwanted)) = arrived.send(result)
                && let Err(failure) = calls.leave(&unwanted.seat).await
            {
                tracing::warn!(session = %unwanted.seat.session(), %failure, "a departure could not be noted");
            }
        });
        // Nobody sends nothing only when the node ends.
        arrival.await.unwrap_or(Err(Unavailable))
    }

    /// With a token, a socket registers the user of the token. Without, it says who it is, and sticks to it until it
    /// unregisters.
    fn check_user(&self, user: &UserId) -> Result<(), Problem> {
        let is_allowed = match (self.token_user(), self.seat()) {
            (Some(token_user), _) => token_user == user,
            (None, Some(seat)) => seat.user() == user,
            (None, None) => true,
        };
        if is_allowed { Ok(()) } else { Err(Problem::not_yourself()) }
    }

    pub(super) async fn unregister(&self) -> Result<(), Problem> {
        let seat: Option<Arc<Seat>> = self.seat();
        self.set_seat(None);
        match seat {
            Some(seat) => self.hub().switchboard.unregister(&seat).await.map_err(|failure| match failure {
                Failure::Unavailable(_) | Failure::Contended => Problem::unavailable(),
                Failure::Refused(_) | Failure::NotFound => Problem::internal(),
            }),
            None => Ok(()),
        }
    }
}
