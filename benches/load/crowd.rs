//! Many registered clients that only answer pings, and how they come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::client::Client;

/// Stock clients try again after half a second to one and a half.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Who is to come.
pub(crate) struct Gathering {
    /// They take turns.
    pub(crate) nodes: Vec<SocketAddr>,
    /// Of the users, before their number.
    pub(crate) name: &'static str,
    pub(crate) users: Range<u32>,
    /// How many start to connect per second; as fast as they can without.
    pub(crate) rate: Option<u32>,
    /// How many may be connecting at the same time: a server that is slower than the rate is not given more.
    pub(crate) at_once: usize,
    pub(crate) attempts: u32,
}

/// How they came.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Gathered {
    /// From the start of the attempt that succeeded until registered, in microseconds.
    pub(crate) took_us: Vec<u64>,
    pub(crate) missing: u32,
    /// Why attempts failed, and how often.
    pub(crate) failures: BTreeMap<String, u32>,
}

impl Gathered {
    /// # Errors
    /// Somebody did not come.
    pub(crate) fn complete(&self) -> Result<(), Failure> {
        if self.missing == 0 {
            Ok(())
        } else {
            Err(format!("{} did not come: {:?}", self.missing, self.failures).into())
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.took_us.extend(other.took_us);
        self.missing += other.missing;
        for (why, times) in other.failures {
            *self.failures.entry(why).or_default() += times;
        }
    }
}

/// One who tried to come.
struct Arrival {
    client: Option<Client>,
    took: Duration,
    failures: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Crowd {
    clients: JoinSet<()>,
    lost: Arc<AtomicU32>,
}

impl Crowd {
    /// Lets them all come, and tells how they came when all have tried.
    pub(crate) async fn gather(&mut self, gathering: Gathering) -> Result<Gathered, Failure> {
        let Gathering { nodes, name, mut users, rate, at_once, attempts } = gathering;
        let interval = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        let mut gathered = Gathered::default();
        let mut connecting = JoinSet::new();
        let mut due = Instant::now();
        // Waits on those who connect and, unless there are too many of them, on the moment the next one is due.
        while !users.is_empty() || !connecting.is_empty() {
            tokio::select! {
                Some(arrival) = connecting.join_next() => self.welcome(arrival?, &mut gathered),
                () = sleep_until(due), if !users.is_empty() && connecting.len() < at_once => {
                    due += interval;
                    if let Some(number) = users.next() {
                        let node = nodes[number as usize % nodes.len()];
                        connecting.spawn(come(node, format!("{name}-{number}"), number, attempts));
                    }
                }
            }
        }
        Ok(gathered)
    }

    fn welcome(&mut self, arrival: Arrival, gathered: &mut Gathered) {
        for why in arrival.failures {
            *gathered.failures.entry(why).or_default() += 1;
        }
        let Some(client) = arrival.client else {
            gathered.missing += 1;
            return;
        };
        gathered.took_us.push(u64::try_from(arrival.took.as_micros()).unwrap_or(u64::MAX));
        self.hold(client);
    }

    /// Answers the client's pings until its connection or the crowd is gone.
    fn hold(&mut self, mut client: Client) {
        let lost = Arc::clone(&self.lost);
        self.clients.spawn(async move {
            while client.receive().await.is_ok() {}
            lost.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// How many connections were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Closes all connections without a word, as apps that are swept away do.
    pub(crate) async fn disconnect(&mut self) {
        self.clients.shutdown().await;
    }
}

async fn come(node: SocketAddr, user: String, number: u32, attempts: u32) -> Arrival {
    let mut failures = Vec::new();
    loop {
        let begin = Instant::now();
        match Client::registered(node, &user, number).await {
            Ok(client) => return Arrival { client: Some(client), took: begin.elapsed(), failures },
            // Without the user's name, so that equal ones are counted together.
            Err(error) => failures.push(error.to_string().replace(&user, "a user")),
        }
        if failures.len() >= attempts as usize {
            return Arrival { client: None, took: Duration::ZERO, failures };
        }
        sleep(TRY_AGAIN).await;
    }
}
