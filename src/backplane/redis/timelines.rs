//! Timelines: a list of small JSON texts for each call.

use async_trait::async_trait;
use redis::Cmd;

use crate::backplane::redis::Redis;
use crate::backplane::redis::link::Lane;
use crate::backplane::{Timelines, Unavailable};
use crate::ids::CallId;
use crate::timeline::{Entry, Note};

/// Entries in one run of the script: some 50 KB, and a tenth of a millisecond of Redis.
const BATCH: usize = 256;

#[async_trait]
impl Timelines for Redis {
    async fn note(&self, notes: Vec<Note>) -> Result<usize, Unavailable> {
        let (mut lost, mut left) = (0, notes.len());
        for batch in notes.chunks(BATCH) {
            let texts: Vec<_> = batch.iter().map(|note| (note.call.to_string(), note.entry.to_text())).collect();
            let command = |is_repeat| self.note_command(&texts, is_repeat);
            match self.link.run::<usize>(Lane::House, &self.scripts.note, command).await {
                Ok(count) => lost += count,
                // It has been waited for; the rest would wait as long.
                Err(Unavailable) => return Ok(lost + left),
            }
            left -= batch.len();
        }
        Ok(lost)
    }

    async fn timeline(&self, call: CallId) -> Result<Vec<Entry>, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.timeline.command();
            command.arg(call.to_string());
            command
        };
        let texts: Vec<String> = self.link.run(Lane::House, &self.scripts.timeline, command).await?;
        Ok(texts.iter().filter_map(|text| Entry::from_text(text)).collect())
    }
}

impl Redis {
    /// Writes down these entries of these calls; those that are there already are left out if it `is_repeat`.
    pub(super) fn note_command(&self, texts: &[(String, String)], is_repeat: bool) -> Cmd {
        let mut command = self.scripts.note.command();
        command.arg(u8::from(is_repeat));
        for (call, entry) in texts {
            command.arg(call).arg(entry);
        }
        command
    }
}
