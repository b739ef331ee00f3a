//! Whether the user of a node may do all that a node does: every command is tried, on keys that nobody else has.

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use uuid::Uuid;

use crate::backplane::redis::keys::Keys;
use crate::backplane::redis::link::plain;
use crate::config::RedisConfig;
use crate::finding::Finding;

/// Tries all commands of all scripts.
const SCRIPT: &str = include_str!("../scripts/examine.lua");

/// Why commands were refused.
#[derive(Default, Debug, PartialEq, Eq)]
struct Refused {
    /// These, to this user.
    commands: Vec<String>,
    /// Keys with our prefix, whatever the command.
    keys: bool,
    /// Channels with our prefix.
    channels: bool,
    /// Writing, to everybody: what Redis says.
    writes: Option<String>,
    /// What could not be tried, and why.
    untried: Vec<String>,
}

/// What this user may not do, or that it may do everything.
pub(super) async fn findings(
    config: &RedisConfig,
    client: &Client,
    connection: &mut MultiplexedConnection,
    keys: &Keys,
) -> Vec<Finding> {
    let mut refused = Refused::default();
    match run(connection, keys).await {
        // Beside what was refused, a command may miss what one before it was not allowed to make.
        Ok(answers) => {
            for pair in answers.chunks_exact(2) {
                refused.note(&pair[0], &pair[1]);
            }
        }
        Err((command, error)) => refused.note_error(command, &error),
    }
    if let Err(error) = listen(client, keys).await {
        refused.note_error("SUBSCRIBE", &error);
    }
    refused.told(config.username.as_deref().unwrap_or("default"), keys, config.db)
}

async fn run(connection: &mut MultiplexedConnection, keys: &Keys) -> Result<Vec<String>, (&'static str, RedisError)> {
    let script = redis::Script::new(SCRIPT);
    script.load_async(connection).await.map_err(|error| ("SCRIPT|LOAD", error))?;
    let mut command = redis::cmd("EVALSHA");
    let own = Uuid::new_v4().simple();
    command.arg(script.get_hash()).arg(0).arg(format!("{}examine:{own}:", keys.prefix()));
    command.arg(keys.node_channel(&own.to_string()));
    command.query_async(connection).await.map_err(|error| ("EVALSHA", error))
}

/// Listens where nodes listen, for a moment.
async fn listen(client: &Client, keys: &Keys) -> Result<(), RedisError> {
    let mut connection = client.get_async_pubsub().await?;
    let own = [keys.node_channel("examine"), keys.expired_channel().to_owned()];
    connection.subscribe(&own).await?;
    connection.unsubscribe(&own).await
}

impl Refused {
    /// A command of ours was not carried out.
    fn note_error(&mut self, command: &str, error: &RedisError) {
        if !self.note(command, &error.to_string()) {
            self.untried.push(format!("{command}: {}", plain(error)));
        }
    }

    /// Whether it is known what to make of that.
    fn note(&mut self, command: &str, why: &str) -> bool {
        let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
        if has(&["OOM", "MISCONF", "READONLY", "NOREPLICAS"]) {
            // One reason for all of them.
            self.writes.get_or_insert_with(|| why.trim_start_matches("ERR ").to_owned());
        } else if has(&["channel"]) {
            self.channels = true;
        } else if has(&["keys", "a key"]) {
            self.keys = true;
        } else if has(&["can't run this command", "NOPERM", "permissions", "ACL failure"]) {
            let narrow = match command {
                "XINFO" => "xinfo|stream",
                "SUBSCRIBE" => "subscribe +unsubscribe",
                command => &command.to_lowercase(),
            };
            self.commands.push(narrow.to_owned());
        } else {
            return false;
        }
        true
    }

    fn told(&self, user: &str, keys: &Keys, db: u16) -> Vec<Finding> {
        const SUBJECT: &str = "permissions";
        let mut findings = Vec::new();
        if !self.commands.is_empty() {
            findings.push(Finding::problem(
                SUBJECT,
                format!("the user {user} may not run {}", self.commands.join(", ").replace(" +", ", ").to_uppercase()),
                format!("Run ACL SETUSER {user} +{}", self.commands.join(" +")),
            ));
        }
        if self.keys {
            let prefix = keys.prefix();
            let found = format!("the user {user} may not touch keys that begin with {prefix:?} (REDIS_KEY_PREFIX)");
            findings.push(Finding::problem(SUBJECT, found, format!("Run ACL SETUSER {user} ~{prefix}*")));
        }
        if self.channels {
            let (own, expired) = (keys.channels(), keys.expired_channel());
            let found = format!("the user {user} may not use the channels {own}* and {expired} of database {db}");
            findings.push(Finding::problem(SUBJECT, found, format!("Run ACL SETUSER {user} &{own}* &{expired}")));
        }
        if let Some(why) = &self.writes {
            let advice = if why.contains("OOM") {
                "Raise maxmemory in redis.conf, or take away what else is in this Redis"
            } else if why.contains("MISCONF") {
                "Make room on the disk of Redis, or mend what its log says about saving"
            } else if why.contains("NOREPLICAS") {
                "Bring the replicas back, or lower min-replicas-to-write in redis.conf"
            } else {
                "Point at the primary: this is a replica"
            };
            findings.push(Finding::problem("writes", format!("refused: {}", first_sentence(why)), advice));
        }
        for why in &self.untried {
            let advice = "Look into the log of Redis, and at what keeps it busy (SLOWLOG GET)";
            findings.push(Finding::problem(SUBJECT, format!("could not be tried: {why}"), advice));
        }
        if findings.is_empty() {
            let found = format!("the user {user} may run every command that is needed");
            findings.push(Finding::ok(SUBJECT, found));
        }
        findings
    }
}

fn first_sentence(text: &str) -> &str {
    text.split(['.', '\n']).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_command_of_every_script_is_tried() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backplane/redis/scripts");
        let named = |text: &str, call: &str| -> BTreeSet<String> {
            text.split(call).skip(1).filter_map(|rest| Some(rest.split('\'').next()?.to_owned())).collect()
        };
        let tried = named(SCRIPT, "try('");
        let mut used = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            used.extend(named(&fs::read_to_string(file.unwrap().path()).unwrap(), "redis.call('"));
        }
        assert!(used.len() > 30, "{used:?}");
        assert_eq!(used.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn what_is_refused_is_told_with_the_command_that_allows_it() {
        let mut refused = Refused::default();
        refused.note("HSET", "ERR The user executing the script can't run this command or subcommand");
        refused.note("SCRIPT|LOAD", "NOPERM: User app has no permissions to run the 'script|load' command");
        refused.note("GET", "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments");
        refused.note("SUBSCRIBE", "NOPERM: No permissions to access a channel");
        refused.note("XINFO", "ERR no such key");
        let advice: Vec<_> =
            refused.told("app", &Keys::new("calls:", 2), 2).into_iter().map(|it| it.advice.unwrap()).collect();
        assert_eq!(
            advice,
            [
                "Run ACL SETUSER app +hset +script|load",
                "Run ACL SETUSER app ~calls:*",
                "Run ACL SETUSER app &calls:db2:* &__keyevent@2__:expired",
            ]
        );
        let mut lost = Refused::default();
        lost.note_error("EVALSHA", &std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        assert!(lost.told("app", &Keys::new("", 0), 0)[0].found.starts_with("could not be tried: EVALSHA: "));
        let fine = Refused::default().told("default", &Keys::new("", 0), 0);
        assert_eq!(fine, [Finding::ok("permissions", "the user default may run every command that is needed")]);
    }

    #[test]
    fn a_redis_that_takes_nothing_is_told_once() {
        let mut refused = Refused::default();
        for command in ["SET", "HSET"] {
            refused.note(command, "OOM command not allowed when used memory > 'maxmemory'.");
        }
        let told = refused.told("default", &Keys::new("", 0), 0);
        assert_eq!(told.len(), 1);
        assert!(told[0].found.contains("used memory") && told[0].advice.as_ref().unwrap().contains("maxmemory"));
    }
}
