//! A generator in a process of its own, since a process may open only so many files: a crowd that comes to one node and,
//! when told so, to another. It talks with the scenario over a loopback connection, and ends when that ends.
//!
//! ```text
//! shard      connects ─▶   all are at home: "ready" ─▶              all are at the refuge: Gathered as JSON ─▶
//! scenario                                          "go" ─▶                                              closes ─▶
//! ```

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::Failure;
use crate::crowd::{Crowd, Gathered, Gathering};
use crate::process::Process;
use crate::subject::Subject;

const START_DEADLINE: Duration = Duration::from_secs(20);
const READY: &str = "ready";
const GO: &str = "go";
/// How many connect at the same time, of this shard.
const CONNECTING: usize = 256;
/// Of one user at the refuge, a second apart.
const ATTEMPTS: u32 = 10;

/// What a shard has to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where to say what became of it.
    pub(crate) report_to: SocketAddr,
    pub(crate) first_user: u32,
    pub(crate) users: u32,
    /// How many come per second.
    pub(crate) rate: u32,
    /// Where they are at first.
    pub(crate) home: SocketAddr,
    /// Where they go then.
    pub(crate) refuge: SocketAddr,
}

impl Order {
    fn gathering(&self, node: SocketAddr) -> Gathering {
        let users = self.first_user..self.first_user + self.users;
        let rate = Some(self.rate);
        Gathering { nodes: vec![node], name: "storm", users, rate, at_once: CONNECTING, attempts: ATTEMPTS }
    }
}

/// The shard's side.
pub(crate) async fn serve(order: &str) -> Result<(), Failure> {
    let order: Order = serde_json::from_str(order)?;
    let (mut scenario, mut report) = lines(TcpStream::connect(order.report_to).await?);
    let mut crowd = Crowd::default();
    crowd.gather(order.gathering(order.home)).await?.complete()?;
    report.write_all(format!("{READY}\n").as_bytes()).await?;
    if next_line(&mut scenario).await?.as_deref() != Some(GO) {
        return Ok(());
    }
    crowd.disconnect().await;
    let gathered = crowd.gather(order.gathering(order.refuge)).await?;
    report.write_all(format!("{}\n", serde_json::to_string(&gathered)?).as_bytes()).await?;
    // Nothing more is said: this is the end of the connection.
    next_line(&mut scenario).await?;
    Ok(())
}

/// The scenario's side.
pub(crate) struct Shard {
    commands: OwnedWriteHalf,
    report: BufReader<OwnedReadHalf>,
}

/// Starts a shard for each order, and waits until all have their crowds at home. The processes are dropped after the shards.
pub(crate) async fn gather(
    subject: &mut Subject,
    listener: TcpListener,
    orders: Vec<Order>,
) -> Result<(Vec<Shard>, Vec<Process>), Failure> {
    let mut processes = Vec::new();
    let mut shards = Vec::new();
    for (number, order) in (1..).zip(&orders) {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--shard").arg(serde_json::to_string(order)?);
        let mut process = subject.spawn_generator(format!("shard-{number}"), command)?;
        let accepted = timeout(START_DEADLINE, listener.accept()).await;
        let Ok(accepted) = accepted else { return Err(process.fault("does not connect")) };
        let (report, commands) = lines(accepted?.0);
        shards.push(Shard { commands, report });
        processes.push(process);
    }
    for (shard, process) in shards.iter_mut().zip(&mut processes) {
        if next_line(&mut shard.report).await?.as_deref() != Some(READY) {
            return Err(process.fault("is not ready"));
        }
    }
    Ok((shards, processes))
}

impl Shard {
    /// Sends the crowd to the refuge.
    pub(crate) async fn go(&mut self) -> Result<(), Failure> {
        Ok(self.commands.write_all(format!("{GO}\n").as_bytes()).await?)
    }

    /// Waits until all have come or given up.
    pub(crate) async fn gathered(&mut self) -> Result<Gathered, Failure> {
        let line = next_line(&mut self.report).await?.ok_or("a shard ended before its crowd was there")?;
        Ok(serde_json::from_str(&line)?)
    }
}

fn lines(stream: TcpStream) -> (BufReader<OwnedReadHalf>, OwnedWriteHalf) {
    let (read, write) = stream.into_split();
    (BufReader::new(read), write)
}

/// Nothing at the end of the connection.
async fn next_line(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let length = reader.read_line(&mut line).await?;
    Ok((length > 0).then(|| line.trim_end().to_owned()))
}
