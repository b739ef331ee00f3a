//! What a client has sent and nobody has dealt with yet: in order, bounded, with one reader at a time.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// A queue that knows whether somebody is reading it, so that a reader has to exist only while there is something to read.
pub(super) struct Mailbox<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    has_reader: bool,
}

/// What has to happen after something was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put<T> {
    /// Nothing: somebody is reading.
    Queued,
    /// A reader has to be started, with this: what nobody has to wait for is not queued.
    StartReader(T),
    /// The mailbox is full; it was not put in.
    Full,
}

impl<T> Mailbox<T> {
    /// An empty mailbox, whose first reader is about to start.
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { queue: VecDeque::new(), has_reader: true }) }
    }

    /// Puts `item` in, unless there are `capacity` in it.
    pub(super) fn put(&self, item: T, capacity: usize) -> Put<T> {
        let mut state = self.state.lock();
        if state.queue.len() >= capacity { Put::Full } else { state.put(item) }
    }

    /// Puts `item` in even if the mailbox is full: for the one that comes last.
    pub(super) fn put_last(&self, item: T) -> Put<T> {
        self.state.lock().put(item)
    }

    /// Takes the oldest item out. `None` ends the reader: the next item needs a new one.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        let item = state.queue.pop_front();
        if item.is_none() {
            state.has_reader = false;
            state.queue = VecDeque::new();
        }
        item
    }
}

impl<T> State<T> {
    fn put(&mut self, item: T) -> Put<T> {
        if std::mem::replace(&mut self.has_reader, true) {
            self.queue.push_back(item);
            Put::Queued
        } else {
            // Without a reader the queue is empty.
            Put::StartReader(item)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_reader_while_there_is_something_to_read() {
        let mailbox = Mailbox::new();
        assert_eq!(mailbox.put(1, 2), Put::Queued);
        assert_eq!(mailbox.put(2, 2), Put::Queued);
        assert_eq!(mailbox.put(3, 2), Put::Full);
        assert_eq!(mailbox.put_last(4), Put::Queued);
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take(), mailbox.take()], [Some(1), Some(2), Some(4), None]);
        assert_eq!(mailbox.put(5, 2), Put::StartReader(5));
        assert_eq!((mailbox.put(6, 2), mailbox.take(), mailbox.take()), (Put::Queued, Some(6), None));
    }
}
