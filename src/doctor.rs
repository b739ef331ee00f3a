//! `switchboard doctor`: looks at everything a node depends upon, and says what to change.
//!
//! The rooms know how to ask what they use and what the answers mean; here the questions are asked side by side, each under a time-out,
//! and the answers put into a fixed order. It starts no node, and changes nothing anywhere.

mod machine;
mod report;
mod settings;

use std::time::Duration;

use crate::auth::Authenticator;
use crate::backplane::examine_redis;
use crate::clock::Clock;
use crate::config::{BackplaneConfig, Config};
use crate::finding::{Finding, spoken};
use crate::push::{Apns, Fcm};
use crate::turn::IceServers;

pub use report::Report;

/// How long one room may take. Everything in it has shorter time-outs of its own, which say more.
const PATIENCE: Duration = Duration::from_secs(12);

/// Looks at everything.
pub async fn examine(config: &Config) -> Report {
    let clock = Clock::system();
    let (redis, keys, fcm, apns, ice, machine) = tokio::join!(
        in_time("Redis", redis(config, clock)),
        in_time("JWT_JWKS_URL", keys(config, clock)),
        in_time("FCM", fcm(config, clock)),
        in_time("APNs", apns(config, clock)),
        in_time("STUN and TURN", async { IceServers::new(&config.ice, clock).examine().await }),
        in_time("this machine", machine::findings(config)),
    );
    let push = [fcm, apns].concat();
    Report::new([
        ("configuration", settings::findings(config)),
        ("this machine", machine),
        ("redis", redis),
        ("tokens", keys),
        ("push", push),
        ("stun and turn", ice),
    ])
}

/// What `looking` finds, unless it takes too long.
async fn in_time(subject: &str, looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| {
        let found = format!("not answered within {}", spoken(PATIENCE));
        vec![Finding::problem(subject, found, "Look for what holds up answers: a name server, a firewall, a proxy")]
    })
}

async fn redis(config: &Config, clock: Clock) -> Vec<Finding> {
    match &config.backplane {
        BackplaneConfig::Redis(redis) => examine_redis(redis, clock).await,
        BackplaneConfig::Embedded => vec![Finding::absent(
            "Redis",
            "not used: there is one node, and a restart of it forgets calls and what is kept for absent devices",
        )],
    }
}

async fn keys(config: &Config, clock: Clock) -> Vec<Finding> {
    Authenticator::new(&config.auth, clock).examine().await
}

async fn fcm(config: &Config, clock: Clock) -> Vec<Finding> {
    match &config.push.fcm {
        Some(fcm) => vec![Fcm::new(fcm, clock).dry_run().await],
        None if config.push.apns.is_some() => {
            vec![Finding::absent(
                "FCM",
                "not configured: Android phones that sleep are not woken, and no iPhone is told that a ring stops",
            )]
        }
        None => vec![Finding::absent("FCM", "not configured: phones that sleep are not woken")],
    }
}

async fn apns(config: &Config, clock: Clock) -> Vec<Finding> {
    match &config.push.apns {
        Some(apns) => vec![Apns::new(apns, clock).dry_run().await],
        None => vec![Finding::absent("APNs", "not configured: no iPhone is rung by PushKit (CallKit)")],
    }
}
