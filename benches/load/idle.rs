//! Registered websockets that do nothing: what connecting costs, what each keeps resident, what its pings cost, and how much
//! memory comes back when all have gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::client::Client;
use crate::options::{Kind, Options};
use crate::report::Better::{Higher, Lower, Neither};
use crate::report::{Table, ms};
use crate::subject::Subject;
use crate::usage;

/// How many connect at the same time.
const CONNECTING: u32 = 32;
/// What the server still does for the last to connect is over by then.
const SETTLE: Duration = Duration::from_secs(1);
/// After the disconnect: when memory is looked at.
const GIVEN_BACK: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];
/// Files the generator needs beside its connections.
const OTHER_FILES: u64 = 100;
const USUAL_RUNS: u16 = 1;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let connections = options.connections();
    let limit = usage::open_file_limit()?;
    if u64::from(connections) + OTHER_FILES > limit {
        return Err(
            format!("{connections} connections need a higher limit of open files than {limit} (ulimit -Hn)").into()
        );
    }
    let held = options.hold();
    let mut table =
        Table::new(format!("idle: {connections} registered websockets, held for {held:?}, a ping every 25 s"));
    for run in 0..options.runs(USUAL_RUNS) {
        for kind in options.kinds() {
            println!("idle, run {}: {}", run + 1, kind.name());
            let subject = Subject::start(kind, options.peer_store).await?;
            measure(&subject, kind, connections, held, &mut table).await?;
        }
    }
    table.print();
    Ok(())
}

async fn measure(subject: &Subject, kind: Kind, count: u32, held: Duration, table: &mut Table) -> Result<(), Failure> {
    // One that comes and goes: what a server sets up once is not counted to connections.
    drop(Client::register(subject.address, "first", count).await?);
    sleep(SETTLE).await;
    let empty = subject.resident_kb()?;
    let before = subject.cpu()?;
    let begin = Instant::now();

    let mut crowd = Crowd::connect(subject, count).await?;
    let ramp = begin.elapsed();
    sleep(SETTLE).await;
    let connected = subject.cpu()?;
    let ramped = subject.resident_kb()?;
    sleep(held).await;
    let rested = subject.cpu()?;
    let full = subject.resident_kb()?;
    let lost = crowd.lost();
    crowd.disconnect().await;

    let each = f64::from(count);
    table.add(kind, "resident when empty, MB", 1, Lower, empty / 1024.0);
    table.add(kind, "resident per connection after the ramp, KB", 1, Lower, (ramped - empty) / each);
    table.add(kind, "resident per connection after the hold, KB", 1, Lower, (full - empty) / each);
    let connect = connected.since(before);
    table.add(kind, "connect and register, CPU per connection, ms", 3, Lower, ms(connect.server) / each);
    table.add(kind, "connect and register, Redis CPU, ms", 3, Neither, ms(connect.redis) / each);
    table.add(kind, "registered per second", 0, Higher, each / ramp.as_secs_f64());
    let pinged = rested.since(connected);
    table.add(
        kind,
        "CPU per connection and second, us",
        2,
        Lower,
        ms(pinged.server) * 1e3 / each / pinged.elapsed.as_secs_f64(),
    );
    table.add(kind, "cores busy with something else", 2, Neither, pinged.others);
    table.add(kind, "connections lost", 0, Neither, f64::from(lost));
    let gone = Instant::now();
    let grown = full.max(ramped) - empty;
    for (after, row) in GIVEN_BACK.into_iter().zip(["given back after 5 s, %", "given back after 15 s, %"]) {
        sleep(after.saturating_sub(gone.elapsed())).await;
        table.add(kind, row, 0, Higher, 100.0 * (1.0 - (subject.resident_kb()? - empty) / grown));
    }
    table.add(kind, "resident 15 s after all have gone, MB", 1, Lower, subject.resident_kb()? / 1024.0);
    Ok(())
}

/// Many registered clients that only answer pings.
struct Crowd {
    clients: JoinSet<()>,
    lost: Arc<AtomicU32>,
}

impl Crowd {
    async fn connect(subject: &Subject, count: u32) -> Result<Self, Failure> {
        let mut crowd = Self { clients: JoinSet::new(), lost: Arc::default() };
        let mut connecting = JoinSet::new();
        for number in 0..count {
            let server = subject.address;
            connecting.spawn(async move { Client::register(server, &format!("idle-{number}"), number).await });
            if connecting.len() >= CONNECTING as usize
                && let Some(client) = connecting.join_next().await
            {
                crowd.hold(client??);
            }
        }
        while let Some(client) = connecting.join_next().await {
            crowd.hold(client??);
        }
        Ok(crowd)
    }

    /// Answers the client's pings until its connection or the crowd is gone.
    fn hold(&mut self, mut client: Client) {
        let lost = Arc::clone(&self.lost);
        self.clients.spawn(async move {
            while client.receive().await.is_ok() {}
            lost.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Closes all connections without a word, as apps that are swept away do.
    async fn disconnect(&mut self) {
        self.clients.shutdown().await;
    }
}
