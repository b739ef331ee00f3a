//! The way to one push service: how many messages are on it, whether it is worth asking, and when it is asked again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::ids::{DeviceId, PushToken, UserId};
use crate::push::alarm::Alarm;
use crate::push::backoff::pause;
use crate::push::breaker::{Admission, Breaker, Change};
use crate::push::counts::{Counts, Fate};
use crate::push::underway::Efforts;
use crate::push::{Kind, Message, Outcome, Provider, Recipients, Trouble};
use crate::timeline::{What, Who};
use crate::traces::Traces;

/// Requests to a service at once: below the 100 streams that services allow on one connection.
const SLOTS: usize = 64;
/// Messages of one kind on the way, those included that wait: 3000 calls at once to users with five devices. What comes beyond that is
/// dropped. Of each kind for itself, so that a phone that rings is stopped whatever else there is to be told.
const MESSAGES_MAX: usize = 16_384;
/// An attempt is a request or two, and perhaps one for an access token.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(12);
/// For so long a call that rang is taken to ring still.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// After how many attempts for a message it is not said any more that another one follows.
const RETRIES_SAID: u32 = 3;

/// Why a message was not sent, if anybody has said so.
type Why = Option<&'static str>;

/// One service, and everything that is on the way to it.
pub(super) struct Lane {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) counts: Counts,
    breaker: Breaker,
    /// The breaker has changed its mind.
    changed: Notify,
    slots: Semaphore,
    /// For rings, stops and what was missed.
    rooms: [Semaphore; 3],
}

/// A message, and what ends the efforts for it.
pub(super) struct Errand {
    pub(super) message: Message,
    /// Whose devices are told.
    pub(super) user: UserId,
    /// When there was reason for it.
    pub(super) at: Timestamp,
    /// The call rings no more, so that this message is called off.
    pub(super) over: Option<CancellationToken>,
    /// Of each device, what has to be at its end before this message is sent to it.
    pub(super) after: Option<Efforts>,
    /// The node stops: what can be sent at once is sent, nothing waits.
    pub(super) stopping: CancellationToken,
}

/// What became of a message to one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) fate: Fate,
    /// The token of the last attempt.
    pub(super) token: PushToken,
    /// Since when a dead token is dead, if the service knows.
    pub(super) since: Option<Timestamp>,
}

/// What a lane is told by others.
pub(super) struct Surroundings {
    pub(super) recipients: Arc<dyn Recipients>,
    pub(super) alarm: Alarm,
    pub(super) clock: Clock,
    pub(super) traces: Traces,
}

impl Lane {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            counts: Counts::default(),
            breaker: Breaker::default(),
            changed: Notify::new(),
            slots: Semaphore::new(SLOTS),
            rooms: std::array::from_fn(|_| Semaphore::new(MESSAGES_MAX)),
        }
    }

    /// How many messages are on the way, those included that wait.
    pub(super) fn on_the_way(&self) -> usize {
        self.rooms.iter().map(|room| MESSAGES_MAX - room.available_permits()).sum()
    }

    /// Sends a message to one token of a device, as often as it takes, for as long as it is of use.
    pub(super) async fn deliver(
        &self,
        errand: &Errand,
        device: &DeviceId,
        token: &PushToken,
        around: &Surroundings,
    ) -> End {
        let Message { kind, call, .. } = errand.message;
        let mut pushing = around.traces.push(call, kind.word(), self.provider.name());
        let mut token = token.clone();
        let (fate, since, why) = self.attempts(errand, device, &mut token, around).await;
        let end = End { fate, token, since };
        self.counts.note(kind, end.fate);
        self.say(errand, device, fate, why, around);
        if let Some(pushing) = &mut pushing {
            pushing.note(end.fate.word(), !matches!(end.fate, Fate::Sent | Fate::CalledOff));
        }
        tracing::debug!(call_id = %call, provider = self.provider.name(), ?kind, outcome = ?end.fate, "a push");
        end
    }

    async fn attempts(
        &self,
        errand: &Errand,
        device: &DeviceId,
        token: &mut PushToken,
        around: &Surroundings,
    ) -> (Fate, Option<Timestamp>, Why) {
        let ended = |fate| (fate, None, None);
        let Ok(_room) = self.room(errand.message.kind).try_acquire() else {
            self.raise("there are too many messages; some are dropped", around);
            return ended(Fate::Dropped);
        };
        if let Some(after) = &errand.after {
            after.end_for(device).await;
        }
        // If the call was committed a moment ago. Before another attempt, or after a wait, it is asked how it is.
        let mut believed_until = errand.at.plus(BELIEVED_FOR);
        for attempt in 0..errand.message.attempts {
            let slot = match self.turn(errand, device, token, believed_until, around).await {
                Ok(slot) => slot,
                Err(fate) => return ended(fate),
            };
            let sending = self.provider.send(&errand.message, token);
            let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await;
            let outcome = outcome.unwrap_or(Outcome::later("no answer in time", None));
            drop(slot);
            self.note(outcome, around);
            let after = match outcome {
                Outcome::Sent => return ended(Fate::Sent),
                Outcome::TokenDead { since, .. } => return (Fate::TokenDead, since, outcome.why()),
                Outcome::Refused { .. } => return (Fate::Refused, None, outcome.why()),
                Outcome::Retry { after, .. } => after,
            };
            let pause = pause(attempt, after, rand::random());
            let is_last = attempt + 1 == errand.message.attempts;
            if is_last || around.clock.now().plus(pause) >= errand.message.tried_until {
                return (Fate::GivenUp, None, outcome.why());
            }
            self.counts.note(errand.message.kind, Fate::Retried);
            if attempt < RETRIES_SAID {
                self.say(errand, device, Fate::Retried, outcome.why(), around);
            }
            if let Err(fate) = errand.patiently(tokio::time::sleep(pause), around.clock).await {
                return ended(fate);
            }
            believed_until = Timestamp::default();
        }
        ended(Fate::GivenUp)
    }

    /// Notes what came of telling a device.
    fn say(&self, errand: &Errand, device: &DeviceId, fate: Fate, why: Why, around: &Surroundings) {
        let what = What::Pushed {
            to: Who::new(&errand.user, device),
            service: self.provider.name().to_owned(),
            kind: errand.message.kind.word().to_owned(),
            outcome: fate.word().to_owned(),
            why: why.map(str::to_owned),
        };
        around.recipients.note(errand.message.call, what);
    }

    fn room(&self, kind: Kind) -> &Semaphore {
        let [rings, stops, missed] = &self.rooms;
        match kind {
            Kind::Ring => rings,
            Kind::Stop => stops,
            Kind::Missed => missed,
        }
    }

    /// Waits until this message may be sent: until there is a slot, and the service is worth asking.
    async fn turn(
        &self,
        errand: &Errand,
        device: &DeviceId,
        token: &mut PushToken,
        believed_until: Timestamp,
        around: &Surroundings,
    ) -> Result<SemaphorePermit<'_>, Fate> {
        // Before looking at the breaker, so that no change is missed.
        loop {
            let changed = self.changed.notified();
            // Closed by nobody.
            let slot = errand.within(self.slots.acquire(), around.clock).await?.map_err(|_| Fate::Dropped)?;
            let admission = self.breaker.foresee(around.clock.now());
            if admission == Admission::Go && around.clock.now() >= believed_until {
                self.ask(errand, device, token, around).await?;
            }
            match self.breaker.admit(around.clock.now()) {
                Admission::Go => return Ok(slot),
                Admission::Wait(pause) => {
                    drop(slot);
                    // Waits for the next time the service is asked, or for what came of asking it.
                    let wait = async {
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            () = changed => {}
                        }
                    };
                    errand.patiently(wait, around.clock).await?;
                }
            }
        }
    }

    /// Asks whether a message that has waited is still of use to a device, and by which token this is reached: it may have another one
    /// since, or belong to another user, who is not to see whose calls came before. What ends the ringing is harmless to all.
    async fn ask(
        &self,
        errand: &Errand,
        device: &DeviceId,
        token: &mut PushToken,
        around: &Surroundings,
    ) -> Result<(), Fate> {
        let Message { kind, call, .. } = errand.message;
        if kind == Kind::Stop {
            return Ok(());
        }
        if kind == Kind::Ring && around.recipients.is_ringing(call).await == Ok(false) {
            return Err(Fate::CalledOff);
        }
        let Ok(recipients) = around.recipients.of(&errand.user).await else {
            return Ok(());
        };
        let recipient = recipients.into_iter().find(|recipient| recipient.device == *device);
        let newest = recipient.and_then(|recipient| recipient.tokens.of(self.provider.token_kind()).cloned());
        *token = newest.ok_or(Fate::CalledOff)?;
        Ok(())
    }

    /// Draws the consequences of an outcome for the service as a whole.
    fn note(&self, outcome: Outcome, around: &Surroundings) {
        let now = around.clock.now();
        let provider = self.provider.name();
        let change = match outcome {
            Outcome::Retry { after, trouble: Trouble::Service(_) } => self.breaker.failed(now, after),
            Outcome::Sent | Outcome::TokenDead { .. } | Outcome::Retry { .. } | Outcome::Refused { .. } => {
                self.breaker.succeeded()
            }
        };
        match (change, outcome) {
            (Change::None, _) => {}
            (Change::Opened, Outcome::Retry { trouble, .. }) => {
                tracing::warn!(provider, why = trouble.why(), "a push service is left alone until it answers again");
            }
            (Change::Closed, _) => tracing::info!(provider, "a push service answers again"),
            (Change::Opened | Change::Reopened, _) => {}
        }
        if change != Change::None {
            self.changed.notify_waiters();
        }
        match outcome {
            Outcome::Refused { why, alert: true } => self.raise(why, around),
            Outcome::TokenDead { if_often: Some(why), .. } => {
                if let Some(times) = around.alarm.suspect(provider, why, now) {
                    tracing::error!(provider, times, "push: {why}");
                }
            }
            Outcome::Refused { why, alert: false } => tracing::debug!(provider, why, "a push is refused"),
            Outcome::Retry { trouble, .. } => {
                tracing::debug!(provider, why = trouble.why(), "a push does not go through");
            }
            Outcome::Sent | Outcome::TokenDead { .. } => {}
        }
    }

    fn raise(&self, why: &'static str, around: &Surroundings) {
        let provider = self.provider.name();
        if let Some(times) = around.alarm.raise(provider, why, around.clock.now()) {
            tracing::error!(provider, times, "push: {why}");
        }
    }
}

impl Errand {
    /// Waits for `future` while this message is of use.
    async fn within<T>(&self, future: impl Future<Output = T>, clock: Clock) -> Result<T, Fate> {
        let left = clock.now().until(self.message.tried_until);
        if left.is_zero() {
            return Err(Fate::GivenUp);
        }
        let over = async {
            match &self.over {
                Some(over) => over.cancelled().await,
                None => std::future::pending().await,
            }
        };
        // Waits for the first of the three.
        tokio::select! {
            biased;
            () = over => Err(Fate::CalledOff),
            done = future => Ok(done),
            () = tokio::time::sleep(left) => Err(Fate::GivenUp),
        }
    }

    /// The same, unless the node stops.
    pub(super) async fn patiently(&self, future: impl Future<Output = ()>, clock: Clock) -> Result<(), Fate> {
        let unless_stopping = async {
            // Waits for either.
            tokio::select! {
                () = future => Ok(()),
                () = self.stopping.cancelled() => Err(Fate::GivenUp),
            }
        };
        self.within(unless_stopping, clock).await?
    }
}
