//! What registering alone costs: all are connected before the window opens, and in it each says `register` once.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::client::Client;
use crate::options::Options;
use crate::report::Better::{Lower, Neither};
use crate::report::{Column, Table, count, ms, quantile_ms};
use crate::subject::{Consumed, Subject};
use crate::usage;

const USUAL_USERS: u32 = 5_000;
const QUICK_USERS: u32 = 1_000;
const USUAL_RATE: u32 = 1_000;
const USUAL_RUNS: u16 = 3;
/// How many connect at the same time.
const CONNECTING: usize = 32;
/// What the nodes still do for the last to connect is over by then.
const SETTLE: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let users = options.users(USUAL_USERS, QUICK_USERS);
    let rate = options.rate(USUAL_RATE);
    usage::expect_open_files(users)?;
    let mut table = Table::new(format!("register: {users} connected users, {rate} per second"));
    let mut commands = Table::new("register: Redis commands per registration, those of scripts included".to_owned());
    for run in 0..options.runs(USUAL_RUNS) {
        for column in options.columns() {
            println!("register, run {}: {}", run + 1, column.name());
            let subject = Subject::start(&options.plan(column)).await?;
            let clients = connect(&subject.addresses(), users).await?;
            sleep(SETTLE).await;
            let rest = subject.rest(REST).await?;
            let before = subject.read().await?;
            let mut registered = register(clients, rate).await?;
            let consumed = subject.read().await?.since(&before);
            registered.enter(column, &mut table, &mut commands, &consumed);
            table.add_rest(column, &rest);
        }
    }
    table.print();
    commands.print();
    Ok(())
}

/// A connected user with its number.
struct User {
    number: u32,
    client: Client,
}

impl User {
    fn name(number: u32) -> String {
        format!("user-{number}")
    }

    async fn connect(node: SocketAddr, number: u32) -> Result<Self, Failure> {
        Ok(Self { number, client: Client::connect(node, &Self::name(number), number).await? })
    }

    /// Registers when it is due. The connection outlives the window.
    async fn register(mut self, due: Instant) -> (Self, Result<Duration, Failure>) {
        sleep_until(due).await;
        let begin = Instant::now();
        let outcome = self.client.register(&Self::name(self.number), self.number).await;
        (self, outcome.map(|()| begin.elapsed()))
    }
}

/// All users, at the nodes in turn.
async fn connect(nodes: &[SocketAddr], count: u32) -> Result<Vec<User>, Failure> {
    let mut users = Vec::new();
    let mut connecting = JoinSet::new();
    for number in 0..count {
        connecting.spawn(User::connect(nodes[number as usize % nodes.len()], number));
        if connecting.len() >= CONNECTING
            && let Some(user) = connecting.join_next().await
        {
            users.push(user??);
        }
    }
    while let Some(user) = connecting.join_next().await {
        users.push(user??);
    }
    Ok(users)
}

async fn register(users: Vec<User>, rate: u32) -> Result<Registered, Failure> {
    let interval = Duration::from_secs(1) / rate;
    let mut due = Instant::now();
    let mut registering = JoinSet::new();
    for user in users {
        registering.spawn(user.register(due));
        due += interval;
    }
    let mut registered = Registered::default();
    while let Some(ended) = registering.join_next().await {
        let (user, outcome) = ended?;
        registered.users.push(user);
        match outcome {
            Ok(took) => registered.took.push(took),
            Err(error) => {
                registered.failed += 1;
                println!("  {error}");
            }
        }
    }
    Ok(registered)
}

#[derive(Default)]
struct Registered {
    users: Vec<User>,
    took: Vec<Duration>,
    failed: u32,
}

impl Registered {
    fn enter(&mut self, column: Column, table: &mut Table, commands: &mut Table, consumed: &Consumed) {
        let registered = count(self.took.len() as u64);
        let each_us = |cpu| ms(cpu) * 1e3 / registered;
        table.add(column, "server CPU per registration, us", 1, Lower, each_us(consumed.server));
        if let Some(redis) = &consumed.redis {
            table.add(column, "Redis CPU per registration, us", 1, Lower, each_us(redis.cpu));
            table.add_traffic(column, "registration", redis, registered);
            commands.add_commands(column, redis, registered);
        }
        table.add(column, "registered p50, ms", 2, Lower, quantile_ms(&mut self.took, 500));
        table.add(column, "registered p99, ms", 2, Lower, quantile_ms(&mut self.took, 990));
        table.add(column, "failed", 0, Neither, f64::from(self.failed));
        table.add(column, "generator CPU per registration, us", 1, Neither, each_us(consumed.generator));
        table.add(column, "cores busy with something else", 2, Neither, consumed.others);
    }
}
