//! Registered websockets that do nothing: what connecting costs, what each keeps resident, what its pings cost, and how much
//! memory comes back when all have gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::client::Client;
use crate::crowd::{Crowd, Gathering};
use crate::options::Options;
use crate::report::Better::{Higher, Lower, Neither};
use crate::report::{Column, Table, ms};
use crate::subject::Subject;
use crate::usage;

/// How many connect at the same time.
const CONNECTING: usize = 32;
/// What the server still does for the last to connect is over by then.
const SETTLE: Duration = Duration::from_secs(1);
/// After the disconnect: when memory is looked at.
const GIVEN_BACK: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];
const USUAL_RUNS: u16 = 1;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let connections = options.connections();
    usage::expect_open_files(connections)?;
    let held = options.hold();
    let mut table =
        Table::new(format!("idle: {connections} registered websockets, held for {held:?}, a ping every 25 s"));
    for run in 0..options.runs(USUAL_RUNS) {
        for column in options.columns() {
            println!("idle, run {}: {}", run + 1, column.name());
            let subject = Subject::start(&options.plan(column)).await?;
            measure(&subject, column, connections, held, &mut table).await?;
        }
    }
    table.print();
    Ok(())
}

async fn measure(
    subject: &Subject,
    column: Column,
    count: u32,
    held: Duration,
    table: &mut Table,
) -> Result<(), Failure> {
    let nodes = subject.addresses();
    // One that comes and goes: what a server sets up once is not counted to connections.
    drop(Client::registered(nodes[0], "first", count).await?);
    sleep(SETTLE).await;
    let empty = subject.resident_kb()?;
    let before = subject.read().await?;
    let begin = Instant::now();

    let mut crowd = Crowd::default();
    let all = Gathering { nodes, name: "idle", users: 0..count, rate: None, at_once: CONNECTING, attempts: 1 };
    crowd.gather(all).await?.complete()?;
    let ramp = begin.elapsed();
    sleep(SETTLE).await;
    let connected = subject.read().await?;
    let ramped = subject.resident_kb()?;
    sleep(held).await;
    let rested = subject.read().await?;
    let full = subject.resident_kb()?;
    let lost = crowd.lost();
    crowd.disconnect().await;

    let each = f64::from(count);
    let pinged = rested.since(&connected);
    let connect = connected.since(&before);
    table.add(column, "resident when empty, MB", 1, Lower, empty / 1024.0);
    table.add(column, "resident per connection after the ramp, KB", 1, Lower, (ramped - empty) / each);
    table.add(column, "resident per connection after the hold, KB", 1, Lower, (full - empty) / each);
    table.add(column, "connect and register, CPU per connection, ms", 3, Lower, ms(connect.server) / each);
    if let Some(redis) = &connect.redis {
        table.add(column, "connect and register, Redis CPU, ms", 3, Lower, ms(redis.cpu) / each);
    }
    table.add(column, "registered per second", 0, Higher, each / ramp.as_secs_f64());
    table.add(
        column,
        "CPU per connection and second, us",
        2,
        Lower,
        ms(pinged.server) * 1e3 / each / pinged.elapsed.as_secs_f64(),
    );
    table.add(column, "cores busy with something else", 2, Neither, pinged.others);
    table.add(column, "connections lost", 0, Neither, f64::from(lost));
    let gone = Instant::now();
    let grown = full.max(ramped) - empty;
    for (after, row) in GIVEN_BACK.into_iter().zip(["given back after 5 s, %", "given back after 15 s, %"]) {
        sleep(after.saturating_sub(gone.elapsed())).await;
        table.add(column, row, 0, Higher, 100.0 * (1.0 - (subject.resident_kb()? - empty) / grown));
    }
    table.add(column, "resident 15 s after all have gone, MB", 1, Lower, subject.resident_kb()? / 1024.0);
    Ok(())
}
