//! What Redis says of itself, judged.

use std::collections::HashMap;
use std::time::Duration;

use redis::RedisError;

use crate::backplane::redis::checks::{Unfit, judge};
use crate::backplane::redis::link::plain;
use crate::finding::{Finding, spoken};

/// A trip to Redis that takes longer makes every request slow.
const FAR: Duration = Duration::from_millis(10);
/// From this share of its memory on, Redis is nearly full.
const NEARLY_FULL_PERCENT: u64 = 80;
const FULL_PERCENT: u64 = 95;
/// A node that is slow for a moment is cut off if less may wait for it.
const OUTPUT_BYTES_MIN: u64 = 8 << 20;

type Info<'a> = HashMap<&'a str, &'a str>;

fn text<'a>(info: &Info<'a>, name: &str) -> &'a str {
    info.get(name).copied().unwrap_or_default()
}

fn number(info: &Info<'_>, name: &str) -> Option<u64> {
    text(info, name).parse().ok()
}

/// What `INFO` tells.
pub(super) fn from_info(info: &Info<'_>) -> Vec<Finding> {
    vec![server(info), eviction(info), memory(info), persistence(info), clients(info)]
}

fn server(info: &Info<'_>) -> Finding {
    const SUBJECT: &str = "server";
    match judge(info) {
        Ok(found) => {
            let replicas = match number(info, "connected_slaves") {
                Some(1) => "1 replica".to_owned(),
                count => format!("{} replicas", count.unwrap_or_default()),
            };
            let up = spoken(Duration::from_secs(number(info, "uptime_in_seconds").unwrap_or_default()));
            Finding::ok(SUBJECT, format!("{}, a primary with {replicas}, up for {up}", found.server))
        }
        Err(Unfit::Replica) => {
            let (host, port) = (text(info, "master_host"), text(info, "master_port"));
            Finding::problem(
                SUBJECT,
                format!("it is a replica of {host}:{port}, to which nothing can be written"),
                format!(
                    "Set REDIS_URL or REDIS_HOST to the primary, {host}:{port}, or REDIS_SENTINELS if there are Sentinels"
                ),
            )
        }
        Err(unfit @ Unfit::Cluster) => Finding::problem(
            SUBJECT,
            unfit.to_string(),
            "Set REDIS_URL to a Redis with cluster-enabled no, or switch the cluster mode of the managed service off",
        ),
        Err(unfit @ Unfit::Old(_)) => {
            Finding::problem(SUBJECT, unfit.to_string(), "Install Redis 6.2 or newer, or Valkey")
        }
        Err(unfit @ Unfit::Failed(_)) => Finding::problem(SUBJECT, unfit.to_string(), "Look into the log of Redis"),
    }
}

/// Whether Sentinels have anybody to make the next primary of.
pub(super) fn heirs(info: &Info<'_>) -> Option<Finding> {
    (number(info, "connected_slaves") == Some(0)).then(|| {
        let found = "no replica is connected: if this Redis fails, Sentinels have nothing to fail over to";
        Finding::warning("replicas", found, "Start a replica (replicaof in its redis.conf), or bring the lost one back")
    })
}

fn eviction(info: &Info<'_>) -> Finding {
    const SUBJECT: &str = "maxmemory-policy";
    match text(info, "maxmemory_policy") {
        "" => Finding::absent(SUBJECT, "this Redis does not say what it is"),
        "noeviction" => Finding::ok(SUBJECT, "noeviction"),
        other => Finding::problem(
            SUBJECT,
            format!("{other}: under memory pressure Redis throws away calls and devices, and phones do not ring"),
            "Set maxmemory-policy noeviction in redis.conf (CONFIG SET maxmemory-policy noeviction for now)",
        ),
    }
}

fn memory(info: &Info<'_>) -> Finding {
    const SUBJECT: &str = "maxmemory";
    let used = number(info, "used_memory").unwrap_or_default();
    let limit = number(info, "maxmemory").filter(|limit| *limit > 0);
    let Some((limit, of)) =
        limit.map(|limit| (limit, "maxmemory")).or(number(info, "total_system_memory").map(|all| (all, "the machine")))
    else {
        return Finding::absent(SUBJECT, format!("{} in use; this Redis does not say of how much", mebibytes(used)));
    };
    let percent = used.saturating_mul(100).checked_div(limit).unwrap_or(100);
    let found = format!("{} of {} ({of}) in use, {percent} %", mebibytes(used), mebibytes(limit));
    let advice =
        "Raise maxmemory in redis.conf, or give Redis a machine with more memory: when it is full, no call can begin";
    match percent {
        FULL_PERCENT.. => Finding::problem(SUBJECT, found, advice),
        NEARLY_FULL_PERCENT.. => Finding::warning(SUBJECT, found, advice),
        _ => Finding::ok(SUBJECT, found),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn persistence(info: &Info<'_>) -> Finding {
    const SUBJECT: &str = "appendonly";
    let failed = |name: &str| text(info, name) == "err";
    if failed("aof_last_write_status") || failed("aof_last_bgrewrite_status") || failed("rdb_last_bgsave_status") {
        return Finding::problem(
            SUBJECT,
            "Redis could not write to its disk the last time, and may refuse to take anything (MISCONF)",
            "Make room on the disk of Redis, or mend what its log says about saving",
        );
    }
    match text(info, "aof_enabled") {
        "" => Finding::absent(SUBJECT, "this Redis does not say whether it is on"),
        "1" => Finding::ok(SUBJECT, "yes"),
        _ => Finding::warning(
            SUBJECT,
            "no: a restart of Redis loses what is kept for absent devices, and push tokens",
            "Set appendonly yes in redis.conf, if that is not what you want",
        ),
    }
}

fn clients(info: &Info<'_>) -> Finding {
    const SUBJECT: &str = "maxclients";
    let (Some(now), Some(most)) = (number(info, "connected_clients"), number(info, "maxclients")) else {
        return Finding::absent(SUBJECT, "this Redis does not say how many connections it takes");
    };
    let found = format!("{now} of {most} connections in use");
    if now * 100 > most * NEARLY_FULL_PERCENT {
        return Finding::warning(SUBJECT, found, "Raise maxclients in redis.conf, and the open-file limit of Redis");
    }
    Finding::ok(SUBJECT, found)
}

/// What its configuration tells; nothing where the user may not read it.
pub(super) fn from_config(settings: Option<&HashMap<String, String>>) -> Vec<Finding> {
    let Some(settings) = settings else {
        let found = "not looked at: this user may not run CONFIG GET, which is as it should be";
        return vec![
            Finding::absent("notify-keyspace-events", found),
            Finding::absent("client-output-buffer-limit", found),
        ];
    };
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    vec![events(setting("notify-keyspace-events")), output(setting("client-output-buffer-limit"))]
}

fn events(flags: &str) -> Finding {
    const SUBJECT: &str = "notify-keyspace-events";
    let tells_of_expiry = flags.contains('E') && (flags.contains('x') || flags.contains('A'));
    if flags.is_empty() {
        Finding::ok(SUBJECT, "off, which is best: nodes act on time-outs by themselves")
    } else if tells_of_expiry {
        Finding::warning(
            SUBJECT,
            format!("{flags}: every node hears of every key of this database that expires, and nothing needs it"),
            "Set notify-keyspace-events \"\" in redis.conf, unless another program needs it",
        )
    } else {
        Finding::ok(SUBJECT, format!("{flags}, which nodes hear nothing of"))
    }
}

/// `normal 0 0 0 slave … pubsub 33554432 8388608 60`.
fn output(limits: &str) -> Finding {
    const SUBJECT: &str = "client-output-buffer-limit";
    let mut words = limits.split_ascii_whitespace().skip_while(|word| *word != "pubsub").skip(1);
    let mut next = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(hard), Some(soft), Some(seconds)) = (next(), next(), next()) else {
        return Finding::absent(SUBJECT, "this Redis does not say what it is");
    };
    let found = if (hard, soft) == (0, 0) {
        "pubsub: no limit".to_owned()
    } else {
        format!("pubsub: {} at once, {} for {seconds} s", mebibytes(hard), mebibytes(soft))
    };
    let is_tight = [hard, soft].iter().any(|limit| (1..OUTPUT_BYTES_MIN).contains(limit));
    if is_tight {
        let found = format!("{found}; a node that is slow for a moment is cut off, and its users wait");
        return Finding::warning(SUBJECT, found, "Set client-output-buffer-limit pubsub 32mb 8mb 60 in redis.conf");
    }
    Finding::ok(SUBJECT, found)
}

/// How long Redis took to answer `PING`, each time; `patience` is the longest wait for it.
pub(super) fn latency(times: &mut [Duration], patience: Duration) -> Finding {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    let found = format!("answers in {}, at the slowest in {}", spoken(median), spoken(slowest));
    if slowest * 2 > patience {
        let advice = "Find out what keeps Redis busy (SLOWLOG GET, redis-cli --latency), or raise REDIS_TIMEOUT";
        return Finding::problem("latency", format!("{found}; REDIS_TIMEOUT is {}", spoken(patience)), advice);
    }
    if median > FAR {
        return Finding::warning(
            "latency",
            found,
            "Put the nodes near to Redis: each request is one to three trips there",
        );
    }
    Finding::ok("latency", found)
}

/// Redis does not answer `PING`.
pub(super) fn silent(error: &RedisError) -> Finding {
    let found = format!("PING is not answered: {}", plain(error));
    Finding::problem("latency", found, "Find out what keeps Redis busy (SLOWLOG GET), or allow its user +ping")
}

/// How many nodes there are.
pub(super) fn nodes(alive: usize) -> Finding {
    match alive {
        0 => Finding::absent("nodes", "none gives signs of life here"),
        1 => Finding::ok("nodes", "1 gives signs of life here"),
        more => Finding::ok("nodes", format!("{more} give signs of life here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Mark;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    const GOOD: Fields<'_> = &[
        ("redis_version", "7.0.15"),
        ("role", "master"),
        ("connected_slaves", "1"),
        ("uptime_in_seconds", "864000"),
        ("maxmemory_policy", "noeviction"),
        ("maxmemory", "1073741824"),
        ("used_memory", "107374182"),
        ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"),
        ("connected_clients", "12"),
        ("maxclients", "10000"),
    ];

    /// The finding about `subject`, of a good Redis that differs in `other`.
    fn found(other: Fields<'_>, subject: &str) -> Finding {
        let info: Info<'_> = GOOD.iter().chain(other).copied().collect();
        from_info(&info).into_iter().find(|finding| finding.subject == subject).unwrap()
    }

    #[test]
    fn a_good_redis_has_nothing_to_change() {
        let info: Info<'_> = GOOD.iter().copied().collect();
        let findings = from_info(&info);
        assert!(findings.iter().all(|finding| finding.mark == Mark::Ok && finding.advice.is_none()), "{findings:?}");
        assert_eq!(findings[0].found, "redis 7.0.15, a primary with 1 replica, up for 10 days");
        assert_eq!(found(&[], "maxmemory").found, "103 MiB of 1024 MiB (maxmemory) in use, 9 %");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_directive_that_mends_it() {
        let cases: [(Fields<'_>, &str, Mark, &str); 10] = [
            (&[("redis_version", "6.0.16")], "server", Mark::Problem, "6.2"),
            (&[("cluster_enabled", "1")], "server", Mark::Problem, "cluster-enabled no"),
            (&[("role", "slave"), ("master_host", "a"), ("master_port", "7")], "server", Mark::Problem, "a:7"),
            (&[("maxmemory_policy", "allkeys-lru")], "maxmemory-policy", Mark::Problem, "maxmemory-policy noeviction"),
            (&[("used_memory", "1063004405")], "maxmemory", Mark::Problem, "Raise maxmemory"),
            (&[("used_memory", "900000000")], "maxmemory", Mark::Warning, "Raise maxmemory"),
            (&[("aof_enabled", "0")], "appendonly", Mark::Warning, "appendonly yes"),
            (&[("aof_last_write_status", "err")], "appendonly", Mark::Problem, "disk"),
            (&[("rdb_last_bgsave_status", "err")], "appendonly", Mark::Problem, "disk"),
            (&[("connected_clients", "8001")], "maxclients", Mark::Warning, "Raise maxclients"),
        ];
        for (other, subject, mark, words) in cases {
            let found = found(other, subject);
            assert_eq!(found.mark, mark, "{found:?}");
            assert!(found.advice.as_ref().is_some_and(|advice| advice.contains(words)), "{found:?}");
        }
    }

    #[test]
    fn sentinels_need_a_replica() {
        let alone: Info<'_> = [("connected_slaves", "0")].into_iter().collect();
        assert_eq!(heirs(&alone).unwrap().mark, Mark::Warning);
        assert_eq!(heirs(&GOOD.iter().copied().collect()), None);
    }

    #[test]
    fn a_service_that_hides_its_settings_is_no_problem() {
        let info: Info<'_> = [("redis_version", "7.2.4"), ("role", "master")].into_iter().collect();
        assert!(from_info(&info).iter().all(|finding| matches!(finding.mark, Mark::Ok | Mark::Absent)));
        assert!(from_config(None).iter().all(|finding| finding.mark == Mark::Absent));
    }

    #[test]
    fn notices_and_output_limits_are_judged() {
        assert_eq!(events("").mark, Mark::Ok);
        assert_eq!((events("Ex").mark, events("AE").mark, events("Kx").mark), (Mark::Warning, Mark::Warning, Mark::Ok));
        let usual = output("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        assert_eq!(usual, Finding::ok("client-output-buffer-limit", "pubsub: 32 MiB at once, 8 MiB for 60 s"));
        assert_eq!(output("pubsub 0 0 0").mark, Mark::Ok);
        assert_eq!(output("pubsub 1048576 0 0").mark, Mark::Warning);
        assert_eq!(output("").mark, Mark::Absent);
    }

    #[test]
    fn a_redis_far_away_is_warned_of_and_one_that_is_too_slow_is_a_problem() {
        let of = |ms: [u64; 3]| latency(&mut ms.map(Duration::from_millis), Duration::from_secs(1)).mark;
        assert_eq!([of([1, 40, 1]), of([12, 11, 40]), of([1, 1, 600])], [Mark::Ok, Mark::Warning, Mark::Problem]);
    }

    #[test]
    fn nodes_are_counted() {
        assert_eq!(nodes(0).mark, Mark::Absent);
        assert_eq!(
            (nodes(1).found, nodes(3).found),
            ("1 gives signs of life here".into(), "3 give signs of life here".into())
        );
    }
}
