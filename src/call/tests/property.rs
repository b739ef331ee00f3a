//! Whatever anybody does, in any order and at any time: one answer, one end, and everybody who has to know does.

use std::time::Duration;

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use crate::call::tests::{device, user};
use crate::call::{
    Actor, Audience, Call, CallType, CallerDisplay, Command, Decision, Effect, Event, Hangup, Initiation, Outcome,
    Party, Refusal, Request, Rules, State, Transition, Wake,
};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

/// Short enough for random steps to run into every one of them.
const RULES: Rules = Rules {
    ring_timeout: Duration::from_millis(400),
    caller_away_timeout: Duration::from_millis(150),
    away_timeout: Duration::from_millis(300),
    max_duration: Duration::from_secs(2),
    busy_window: Duration::from_secs(1),
};
const OWNERS: [&str; 8] = ["alice", "alice", "alice", "bob", "bob", "bob", "bob", "mallory"];
const CASES: u32 = 1_000;

/// What somebody does with one of the phones, or what happens to it. `usize` is a place in [`OWNERS`].
#[derive(Clone, Copy, Debug)]
enum Step {
    Accept(usize),
    Reject(usize),
    End(usize, bool),
    Away(usize),
    Back(usize),
    Expire,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let phone = 0..OWNERS.len();
    prop_oneof![
        2 => phone.clone().prop_map(Step::Accept),
        1 => phone.clone().prop_map(Step::Reject),
        1 => (phone.clone(), any::<bool>()).prop_map(|(phone, replaced)| Step::End(phone, replaced)),
        3 => phone.clone().prop_map(Step::Away),
        3 => phone.prop_map(Step::Back),
        3 => proptest::strategy::Just(Step::Expire),
        4 => (0..300_u64).prop_map(Step::Wait),
    ]
}

/// One device, under the name of its socket and the one it registers by, and what it has been told.
#[derive(Debug)]
struct Phone {
    user: UserId,
    socket: DeviceId,
    name: DeviceId,
    is_registered: bool,
    rang: u32,
    told_answered: u32,
    told_over: u32,
}

impl Phone {
    fn new(index: usize, is_registered: bool) -> Self {
        let (socket, name) = (device(&format!("socket-{index}")), device(&format!("name-{index}")));
        Self { user: user(OWNERS[index]), socket, name, is_registered, rang: 0, told_answered: 0, told_over: 0 }
    }

    fn device(&self) -> &DeviceId {
        if self.is_registered { &self.name } else { &self.socket }
    }

    fn actor(&self) -> Actor {
        Actor { user: self.user.clone(), device: self.device().clone(), registered: self.is_registered }
    }

    /// A device hears what is for either of its names.
    fn hears(&self, user: &UserId, audience: &Audience) -> bool {
        self.user == *user
            && match audience {
                Audience::All => true,
                Audience::Only(device) => *device == self.socket || *device == self.name,
                Audience::Except(device) => *device != self.socket && *device != self.name,
            }
    }
}

/// The call, the phones around it, and what is known of it without asking it.
struct World {
    call: Call,
    now: Timestamp,
    phones: Vec<Phone>,
    answered_by: Option<usize>,
    /// Who need not be told that it is over: the phone that ended it, and the one in the call for which a socket did that had
    /// not said which device of its user it is.
    spared: Vec<usize>,
    /// Whether a socket of the callee stopped it ringing that had not said which device it is.
    stopped_by_somebody: bool,
    wakes_stopped: u32,
    missed: u32,
}

impl World {
    fn new(registered: [bool; OWNERS.len()]) -> Self {
        let phones: Vec<_> =
            registered.into_iter().enumerate().map(|(index, registered)| Phone::new(index, registered)).collect();
        let request = Request {
            id: CallId::from_u128(1),
            caller: phones[0].actor(),
            callee: user("bob"),
            call_type: CallType::Audio,
            display: CallerDisplay::default(),
            request_id: None,
        };
        let Ok(Initiation::Ring(Transition { call, effects })) =
            Call::initiate(request, &[], &[], Timestamp(0), &RULES)
        else {
            panic!("the call does not ring");
        };
        let mut world = Self {
            call,
            now: Timestamp(0),
            phones,
            answered_by: None,
            spared: Vec::new(),
            stopped_by_somebody: false,
            wakes_stopped: 0,
            missed: 0,
        };
        world.perform(&effects).unwrap();
        world
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait(millis) => {
                self.now = self.now.plus(Duration::from_millis(millis));
                Ok(())
            }
            Step::Accept(phone) => self.give(Some(phone), &Command::Accept { by: self.phones[phone].actor() }),
            Step::Reject(phone) => {
                self.give(Some(phone), &Command::Reject { by: self.phones[phone].actor(), reason: None })
            }
            Step::End(phone, replaced) => {
                let hangup = if replaced { Hangup::Replaced } else { Hangup::Said(None) };
                self.give(Some(phone), &Command::End { by: self.phones[phone].actor(), hangup })
            }
            Step::Away(phone) => {
                let Phone { user, .. } = &self.phones[phone];
                self.give(
                    Some(phone),
                    &Command::Away { user: user.clone(), device: self.phones[phone].device().clone() },
                )
            }
            Step::Back(index) => {
                let phone = &mut self.phones[index];
                phone.is_registered = true;
                let (user, device, formerly) = (phone.user.clone(), phone.name.clone(), Some(phone.socket.clone()));
                self.give(Some(index), &Command::Back { user, device, formerly })
            }
            Step::Expire => self.expire(),
        }
    }

    /// Gives a command and checks what comes of it.
    fn give(&mut self, by: Option<usize>, command: &Command) -> Result<(), TestCaseError> {
        let decision = self.call.decide(command.clone(), self.now, &RULES);
        let is_party = by.is_none_or(|by| self.call.has_party(&self.phones[by].user));
        prop_assert!(is_party || !matches!(decision, Ok(Decision::Changed(_))), "a stranger may {:?}", command);
        let Ok(Decision::Changed(Transition { call, effects })) = decision else { return Ok(()) };
        prop_assert!(self.call.is_live(), "{:?} changed a call that is over", command);
        let before = std::mem::replace(&mut self.call, call);
        if let (State::Ringing(_), Some(by)) = (&before.state, by) {
            let has_timed_out = matches!(&self.call.state, State::Over(over) if over.outcome == Outcome::TimedOut);
            let phone = &self.phones[by];
            self.stopped_by_somebody = phone.user == self.call.callee && !phone.is_registered && !has_timed_out;
        }
        match (&before.state, &self.call.state) {
            (State::Ringing(ringing), State::Accepted(_)) => {
                prop_assert!(matches!(command, Command::Accept { .. }), "{:?} answered it", command);
                prop_assert!(self.now < ringing.until, "answered too late");
                self.answered_by = by;
            }
            (_, State::Over(_)) => {
                // An answer that came too late is a time-out.
                if let Some(by) = by.filter(|_| !matches!(command, Command::Accept { .. })) {
                    let for_others = self.in_call().into_iter().flatten().filter(|other| self.is_for(by, *other));
                    self.spared = for_others.chain([by]).collect();
                }
            }
            (State::Ringing(_), State::Ringing(_)) | (State::Accepted(_), State::Accepted(_)) => {
                prop_assert!(effects.is_empty(), "somebody is told of what concerns nobody: {:?}", effects);
            }
            (before, after) => prop_assert!(false, "from {:?} to {:?}", before, after),
        }
        self.perform(&effects)
    }

    fn expire(&mut self) -> Result<(), TestCaseError> {
        let is_due = self.call.deadline().is_some_and(|deadline| self.now >= deadline);
        let before = self.call.clone();
        self.give(None, &Command::Expire)?;
        prop_assert!(is_due || self.call == before, "an early look changed the call");
        prop_assert!(!is_due || !self.call.is_live(), "a deadline passed and nothing came of it");
        let again = self.call.decide(Command::Expire, self.now, &RULES);
        prop_assert_eq!(again, Ok(Decision::Unchanged));
        Ok(())
    }

    fn perform(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Tell { user, audience, notice } => {
                    prop_assert!(self.call.has_party(user), "{} is told", user);
                    prop_assert_eq!((notice.call_id, notice.at), (self.call.id, self.now));
                    let hearing = self.phones.iter_mut().filter(|phone| phone.hears(user, audience));
                    hearing.for_each(|phone| match notice.event {
                        Event::Incoming { .. } => phone.rang += 1,
                        Event::Accepted { .. } => phone.told_answered += 1,
                        Event::Rejected { .. }
                        | Event::Ended { .. }
                        | Event::NoAnswer
                        | Event::Missed
                        | Event::Cancelled(_) => phone.told_over += 1,
                    });
                }
                Effect::Wake { user, wake } => {
                    prop_assert_eq!(user, &self.call.callee);
                    match wake {
                        Wake::Ring => {}
                        Wake::Stop { .. } => self.wakes_stopped += 1,
                        Wake::Missed => self.missed += 1,
                    }
                }
            }
        }
        Ok(())
    }

    fn is_for(&self, by: usize, index: usize) -> bool {
        !self.phones[by].is_registered && self.phones[by].user == self.phones[index].user
    }

    fn in_call(&self) -> [Option<usize>; 2] {
        [Some(0), self.answered_by]
    }

    /// What everybody has been told so far. Holds after every step.
    fn check(&self) -> Result<(), TestCaseError> {
        let is_over = !self.call.is_live();
        for (index, phone) in self.phones.iter().enumerate() {
            let is_in_call = self.in_call().contains(&Some(index));
            // Everybody who heard it ring is told when it stops, but for the one who stopped it.
            let stopped = is_over || self.answered_by.is_some();
            let expected_over = match phone.user.as_str() {
                "bob" if is_in_call => is_over && !self.spared.contains(&index),
                "bob" if self.answered_by.is_some() => true,
                "bob" => stopped && !self.spared.contains(&index),
                _ => index == 0 && is_over && !self.spared.contains(&index),
            };
            prop_assert_eq!(phone.told_over, u32::from(expected_over), "told that it is over: {:?}", phone);
            prop_assert_eq!(phone.rang, u32::from(phone.user == self.call.callee));
            prop_assert_eq!(phone.told_answered, u32::from(index == 0 && self.answered_by.is_some()));
            self.check_peer(index, phone)?;
        }
        let has_stopped = is_over || self.answered_by.is_some();
        prop_assert_eq!(self.wakes_stopped, u32::from(has_stopped && !self.stopped_by_somebody));
        let unanswered = is_over && self.answered_by.is_none();
        let is_of_callee = |phone: &usize| self.phones[*phone].user == self.call.callee;
        prop_assert_eq!(
            self.missed,
            u32::from(unanswered && !self.spared.iter().any(is_of_callee)),
            "missed unless declined"
        );
        Ok(())
    }

    /// Signals pass between the two devices in the call and nobody else.
    fn check_peer(&self, index: usize, phone: &Phone) -> Result<(), TestCaseError> {
        let is_accepted = matches!(self.call.state, State::Accepted(_));
        let peer = self.call.peer_of(&phone.actor());
        let side = self.in_call().into_iter().flatten().find(|party| *party == index || self.is_for(index, *party));
        match (peer, side) {
            (Ok(Party { user, device }), Some(side)) => {
                let other = if side == 0 { self.answered_by } else { Some(0) };
                let other = &self.phones[other.unwrap()];
                prop_assert!(is_accepted && other.hears(&user, &Audience::Only(device)));
            }
            (Err(Refusal::NotActive), _) => prop_assert!(!is_accepted && self.call.has_party(&phone.user)),
            (Err(Refusal::NotAParticipant), side) => {
                prop_assert!(!self.call.has_party(&phone.user) || is_accepted && side.is_none());
            }
            (peer, side) => prop_assert!(false, "{:?} hears {:?} as {:?}", phone, peer, side),
        }
        Ok(())
    }

    /// Lets time pass from deadline to deadline. One look is enough.
    fn run_out(&mut self) -> Result<(), TestCaseError> {
        if let Some(deadline) = self.call.deadline() {
            self.now = self.now.max(deadline);
            self.expire()?;
        }
        prop_assert_eq!(self.call.deadline(), None);
        prop_assert!(!self.call.is_live());
        Ok(())
    }
}

#[test]
fn one_answer_one_end_and_everybody_knows() {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let input = (any::<[bool; OWNERS.len()]>(), proptest::collection::vec(step(), 0..40));
    let outcome = TestRunner::new(config).run(&input, |(registered, steps)| {
        let mut world = World::new(registered);
        for step in steps {
            world.step(step)?;
            world.check()?;
        }
        world.run_out()?;
        world.check()
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_random_calls_go_through_every_state() {
    let mut reached = [0_u32; 4];
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let input = (any::<[bool; OWNERS.len()]>(), proptest::collection::vec(step(), 0..40));
    let mut runner = TestRunner::new(config);
    for _ in 0..CASES {
        let (registered, steps) = input.new_tree(&mut runner).unwrap().current();
        let mut world = World::new(registered);
        for step in steps {
            world.step(step).unwrap();
        }
        reached[0] += u32::from(world.answered_by.is_some());
        reached[1] += u32::from(world.answered_by.is_some() && !world.call.is_live());
        reached[2] += u32::from(world.answered_by.is_none() && !world.spared.is_empty());
        reached[3] += u32::from(world.answered_by.is_none() && world.spared.is_empty() && !world.call.is_live());
    }
    assert!(reached.iter().all(|count| *count > CASES / 20), "{reached:?}");
}
