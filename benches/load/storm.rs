//! A node dies with all its connections, and its users come to another at a steady rate: how long until all are registered,
//! what that costs Redis, and whether anything held Redis up.
//!
//! A process may open only so many files. Where that is less than there are users, several nodes die at once and as many
//! take their users in, each with a generator of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::crowd::Gathered;
use crate::options::Options;
use crate::probe::Probe;
use crate::redis_server::{HoldUps, REMEMBER_SLOW};
use crate::report::Better::{Higher, Lower, Neither};
use crate::report::{Column, Table, count, ms, quantile_ms};
use crate::shard::{self, Order};
use crate::subject::{Consumed, Plan, Subject};
use crate::usage;

const USUAL_USERS: u32 = 100_000;
const QUICK_USERS: u32 = 5_000;
const USUAL_RATE: u32 = 5_000;
const USUAL_RUNS: u16 = 1;
/// What the nodes still do for the last to come is over by then.
const SETTLE: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(3);
/// After all are back: the nodes may still clear up behind the dead one.
const AFTERMATH: Duration = Duration::from_secs(15);
const QUICK_AFTERMATH: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let storm = Storm::of(options)?;
    let Storm { users, rate, killed, .. } = storm;
    let mut table = Table::new(format!(
        "storm: {users} users of {killed} killed node(s) come to {killed} other(s), {rate} per second at most"
    ));
    let mut commands =
        Table::new("storm: Redis commands per registration after the kill, those of scripts included".to_owned());
    for run in 0..options.runs(USUAL_RUNS) {
        for kind in options.kinds() {
            let column = Column { kind, nodes: 2 * killed };
            println!("storm, run {}: {}", run + 1, column.name());
            let observed = storm
                .observe(&Plan { redis_arguments: REMEMBER_SLOW.to_vec(), ..options.plan_of_several(column) })
                .await?;
            observed.enter(column, &mut table, &mut commands);
        }
    }
    table.print();
    commands.print();
    Ok(())
}

#[derive(Clone, Copy)]
struct Storm {
    users: u32,
    /// How many come per second, over all nodes.
    rate: u32,
    /// Nodes that die, and as many that do not.
    killed: u16,
    aftermath: Duration,
}

/// What was seen of one storm.
struct Observed {
    /// From the kill until everybody was registered or had given up.
    took: Duration,
    gathered: Gathered,
    /// Before the kill.
    rest: Consumed,
    /// From the kill until the last has come.
    consumed: Consumed,
    /// After that.
    aftermath: Consumed,
    answers: Vec<Duration>,
    hold_ups: HoldUps,
}

impl Storm {
    fn of(options: &Options) -> Result<Self, Failure> {
        let users = options.users(USUAL_USERS, QUICK_USERS);
        Ok(Self {
            users,
            rate: options.rate(USUAL_RATE),
            killed: u16::try_from(users.div_ceil(usage::most_connections()?))?,
            aftermath: if options.quick { QUICK_AFTERMATH } else { AFTERMATH },
        })
    }

    async fn observe(self, plan: &Plan) -> Result<Observed, Failure> {
        let mut subject = Subject::start(plan).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let orders = self.orders(&subject, &listener)?;
        // The processes end when the shards have been dropped or, should this fail, with them.
        let (mut shards, _processes) = shard::gather(&mut subject, listener, orders).await?;
        sleep(SETTLE).await;
        let rest = subject.rest(REST).await?;
        subject.redis()?.forget_hold_ups().await?;
        let probe = Probe::start(subject.redis()?.address)?;

        let begin = Instant::now();
        subject.kill(usize::from(self.killed))?;
        let before = subject.read().await?;
        for shard in &mut shards {
            shard.go().await?;
        }
        let mut gathered = Gathered::default();
        for shard in &mut shards {
            gathered.add(shard.gathered().await?);
        }
        let took = begin.elapsed();
        let consumed = subject.read().await?.since(&before);
        let aftermath = subject.rest(self.aftermath).await?;
        let answers = probe.finish()?;
        let hold_ups = subject.redis()?.hold_ups().await?;
        Ok(Observed { took, gathered, rest, consumed, aftermath, answers, hold_ups })
    }

    /// An equal share of the users for each node that dies.
    fn orders(self, subject: &Subject, listener: &TcpListener) -> Result<Vec<Order>, Failure> {
        let nodes = subject.addresses();
        let (homes, refuges) = nodes.split_at(usize::from(self.killed));
        let shares = u32::from(self.killed);
        let first = |share: u32| u64::from(self.users) * u64::from(share) / u64::from(shares);
        let mut orders = Vec::new();
        for ((share, home), refuge) in (0..shares).zip(homes).zip(refuges) {
            orders.push(Order {
                report_to: listener.local_addr()?,
                first_user: u32::try_from(first(share))?,
                users: u32::try_from(first(share + 1) - first(share))?,
                rate: (self.rate / shares).max(1),
                home: *home,
                refuge: *refuge,
            });
        }
        Ok(orders)
    }
}

impl Observed {
    fn enter(mut self, column: Column, table: &mut Table, commands: &mut Table) {
        let mut took: Vec<Duration> =
            self.gathered.took_us.iter().map(|microseconds| Duration::from_micros(*microseconds)).collect();
        let registered = count(took.len() as u64);
        let failures: u32 = self.gathered.failures.values().sum();
        table.add(column, "from the kill until all are registered, s", 2, Lower, self.took.as_secs_f64());
        table.add(column, "registered per second", 0, Higher, registered / self.consumed.elapsed.as_secs_f64());
        table.add(column, "connect until registered p50, ms", 2, Lower, quantile_ms(&mut took, 500));
        table.add(column, "connect until registered p99, ms", 2, Lower, quantile_ms(&mut took, 990));
        table.add(column, "connect until registered max, ms", 2, Lower, quantile_ms(&mut took, 1000));
        table.add(column, "attempts that failed", 0, Neither, f64::from(failures));
        table.add(column, "users that never came back", 0, Neither, f64::from(self.gathered.missing));
        table.add(column, "server CPU per registration, us", 1, Lower, ms(self.consumed.server) * 1e3 / registered);
        if let Some(redis) = &self.consumed.redis {
            table.add(column, "Redis CPU per registration, us", 1, Lower, ms(redis.cpu) * 1e3 / registered);
            table.add_traffic(column, "registration", redis, registered);
            commands.add_commands(column, redis, registered);
        }
        if let Some(redis) = &self.aftermath.redis {
            let per_second = ms(redis.cpu) / self.aftermath.elapsed.as_secs_f64();
            table.add(column, "afterwards, with the probe: Redis CPU/s, ms", 2, Lower, per_second);
        }
        let longest = |entry: &Option<(Duration, String)>| entry.as_ref().map_or(0.0, |(took, _)| ms(*took));
        table.add(column, "longest Redis command (0: below 1), ms", 1, Lower, longest(&self.hold_ups.longest));
        table.add(column, "Redis commands above 1 ms", 0, Neither, count(self.hold_ups.slow_commands as u64));
        table.add(column, "longest by its latency monitor, ms", 0, Neither, longest(&self.hold_ups.longest_event));
        table.add(column, "answer of Redis to a probe p50, ms", 2, Neither, quantile_ms(&mut self.answers, 500));
        table.add(column, "answer of Redis to a probe p99, ms", 2, Neither, quantile_ms(&mut self.answers, 990));
        table.add(column, "answer of Redis to a probe max, ms", 2, Lower, quantile_ms(&mut self.answers, 1000));
        table.add(
            column,
            "generator CPU per registration, us",
            1,
            Neither,
            ms(self.consumed.generator) * 1e3 / registered,
        );
        table.add(column, "cores busy with something else", 2, Neither, self.consumed.others);
        table.add_rest(column, &self.rest);
        self.tell(column);
    }

    fn tell(&self, column: Column) {
        for (why, times) in self.gathered.failures.iter().take(5) {
            println!("  {times} attempts at {} failed: {why}", column.name());
        }
        for (what, entry) in [("command", &self.hold_ups.longest), ("event", &self.hold_ups.longest_event)] {
            if let Some((took, name)) = entry {
                println!("  longest {what} of the Redis of {}: {took:?} {name}", column.name());
            }
        }
    }
}
