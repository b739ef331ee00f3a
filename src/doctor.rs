//! `switchboard doctor`: looks at everything a node depends upon, and says what to change.
//!
//! The rooms know how to ask what they use and what the answers mean; here the questions are asked side by side, each under a time-out,
//! and the answers put into a fixed order. It starts no node, and changes nothing anywhere. The collector of traces is not looked at: what
//! it is sent it would keep, and calls go on without it.

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
use crate::webhooks::Receiver;

pub use report::Report;

/// How long one room may take. Everything in it has shorter time-outs of its own, which say more.
const PATIENCE: Duration = Duration::from_secs(12);

/// Looks at everything.
pub async fn examine(config: &Config) -> Report {
    let clock = Clock::system();
    // Made beforehand: that reads certificates from disk, while others measure how long an answer takes.
    let authenticator = Authenticator::new(&config.auth, clock);
    let fcm = config.push.fcm.as_ref().map(|fcm| Fcm::new(fcm, clock));
    let apns = config.push.apns.as_ref().map(|apns| Apns::new(apns, clock));
    let receiver = config.webhooks.as_ref().map(|webhooks| Receiver::new(webhooks, clock));
    let ice_servers = IceServers::new(&config.ice, clock);
    let (redis, keys, fcm, apns, ice, webhooks, machine) = tokio::join!(
        in_time("Redis", redis(config, clock)),
        in_time("JWT_JWKS_URL", authenticator.examine()),
        in_time("FCM", dry_run_of_fcm(fcm, apns.is_some())),
        in_time("APNs", dry_run_of_apns(apns.as_ref())),
        in_time("STUN and TURN", ice_servers.examine()),
        in_time("WEBHOOK_URL", look_for(receiver)),
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
        ("webhooks", webhooks),
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

async fn dry_run_of_fcm(fcm: Option<Fcm>, has_apns: bool) -> Vec<Finding> {
    vec![match fcm {
        Some(fcm) => fcm.dry_run().await,
        None if has_apns => Finding::absent(
            "FCM",
            "not configured: Android phones that sleep are not woken, and no iPhone is told that a ring stops",
        ),
        None => Finding::absent("FCM", "not configured: phones that sleep are not woken"),
    }]
}

async fn dry_run_of_apns(apns: Option<&Apns>) -> Vec<Finding> {
    vec![match apns {
        Some(apns) => apns.dry_run().await,
        None => Finding::absent("APNs", "not configured: no iPhone is rung by PushKit (CallKit)"),
    }]
}

async fn look_for(receiver: Option<Receiver>) -> Vec<Finding> {
    vec![match receiver {
        Some(receiver) => receiver.examine().await,
        None => Finding::absent("WEBHOOK_URL", "not set: no other server is told of calls"),
    }]
}
