//! The writers: while a key is on its way one of them has all lines of it, in the
//! input's order, so that the later line wins however often a request is sent
//! again. What no client can rule out: a request that was given up after 30 s
//! without an answer, sent again, and carried out by DynamoDB later still.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ops_common::dynamodb::batch::{BATCH_SIZE, Batches, Refused, Write, gave_up};
use ops_common::dynamodb::capacity::{Bucket, Taken};
use ops_common::dynamodb::retry::{Backoff, Failure};
use ops_common::error::Error;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::format::Put;
use crate::ledger::{Entry, Ledger};

/// A request has at most 16 MB; this keeps many of them at once small as well.
const MOST_BATCH_BYTES: usize = 2 << 20;

/// A line on its way into the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) entry: Entry,
    /// where it stands, for a refusal: the file, and the line in it
    pub(crate) place: (Arc<str>, u64),
    pub(crate) put: Put,
    /// as it was, where a file takes what is rejected
    pub(crate) text: Box<[u8]>,
}

/// What all writers share.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) batches: Batches,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) limit: Option<Bucket>,
    pub(crate) give_up_after: Duration,
    /// becomes true where nothing more is to be sent
    pub(crate) stop: watch::Sender<bool>,
}

/// Lines that wait for their turn, the first first.
#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// so many of the first have to go one by one: one of them is what DynamoDB
    /// refused a whole batch for
    alone: usize,
}

/// What follows a request.
enum Next {
    /// another one, at once
    Request,
    /// a pause: not all of it was taken
    Pause(Option<Refused>),
    /// the end of the run
    End,
}

impl Writers {
    /// Writes lines until no more come, or the run stops.
    pub(crate) async fn run(self: Arc<Self>, mut lines: UnboundedReceiver<Vec<Line>>) {
        let mut stop = self.stop.subscribe();
        let mut queue = Queue::default();
        let mut backoff = Backoff::new(self.give_up_after);
        loop {
            while let Ok(more) = lines.try_recv() {
                queue.lines.extend(more);
            }
            if queue.lines.is_empty() {
                backoff.progress();
                tokio::select! {
                    more = lines.recv() => match more {
                        Some(more) => queue.lines.extend(more),
                        None => return,
                    },
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
            let size = if queue.alone > 0 { 1 } else { self.batch_size(&queue.lines) };
            let units = queue.lines.iter().take(size).map(|line| line.put.units).sum();
            let taken = match &self.limit {
                None => None,
                Some(limit) => tokio::select! {
                    taken = limit.take(units) => Some(taken),
                    _ = stop.wait_for(|stop| *stop) => return,
                },
            };
            if *stop.borrow() {
                return;
            }
            let refused = match self.send(&mut queue, size, taken, &mut backoff).await {
                Next::Request => continue,
                Next::Pause(refused) => refused,
                Next::End => return,
            };
            let Some(pause) = backoff.pause() else {
                return self.fail(gave_up(self.batches.table(), self.give_up_after, refused));
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Sends the first `size` lines, and takes away what is settled by that.
    async fn send(
        &self,
        queue: &mut Queue,
        size: usize,
        taken: Option<Taken>,
        backoff: &mut Backoff,
    ) -> Next {
        let batch: Vec<&Write> =
            queue.lines.iter().take(size).map(|line| &line.put.write).collect();
        let sent = match self.batches.send(&batch).await {
            Ok(sent) => sent,
            Err(refused) => return self.refused(queue, size, taken, refused),
        };
        self.settle(taken, &queue.lines, size, &sent.unprocessed, sent.consumed_capacity);
        queue.alone -= queue.alone.min(size - sent.unprocessed.len());
        if sent.unprocessed.len() < size {
            backoff.progress();
        }
        self.written(&mut queue.lines, size, &sent.unprocessed);
        if sent.unprocessed.is_empty() {
            return Next::Request;
        }
        self.ledger.throttled();
        Next::Pause(None)
    }

    fn refused(
        &self,
        queue: &mut Queue,
        size: usize,
        taken: Option<Taken>,
        refused: Refused,
    ) -> Next {
        if let (Some(limit), Some(taken)) = (&self.limit, taken) {
            match refused.failure {
                Failure::Transient => limit.settle_unknown(taken),
                _ => limit.settle(taken, 0.0, 0.0),
            }
        }
        match refused.failure {
            Failure::Invalid if size == 1 => {
                if let Some(line) = queue.lines.pop_front() {
                    queue.alone -= queue.alone.min(1);
                    self.reject(&line, refused);
                }
                Next::Request
            }
            Failure::Invalid => {
                queue.alone = size;
                Next::Request
            }
            Failure::Final => {
                self.fail(refused.error);
                Next::End
            }
            Failure::Throttled | Failure::Transient => {
                self.ledger.throttled();
                Next::Pause(Some(refused))
            }
        }
    }

    /// How many of the first lines make a batch: no key twice.
    fn batch_size(&self, waiting: &VecDeque<Line>) -> usize {
        let most_units = self.limit.as_ref().map_or(f64::INFINITY, Bucket::request_limit);
        let (mut bytes, mut units) = (0, 0.0);
        for (place, line) in waiting.iter().take(BATCH_SIZE).enumerate() {
            bytes += line.put.write.size();
            units += line.put.units;
            let fits = bytes <= MOST_BATCH_BYTES && units <= most_units;
            let key = line.put.write.identity;
            let twice = waiting.iter().take(place).any(|other| other.put.write.identity == key);
            if twice || !fits && place > 0 {
                return place;
            }
        }
        waiting.len().min(BATCH_SIZE)
    }

    fn settle(
        &self,
        taken: Option<Taken>,
        waiting: &VecDeque<Line>,
        size: usize,
        unprocessed: &[usize],
        consumed_capacity: f64,
    ) {
        self.ledger.consumed(consumed_capacity);
        if let (Some(limit), Some(taken)) = (&self.limit, taken) {
            let processed = (0..size).filter(|place| unprocessed.binary_search(place).is_err());
            limit.settle(
                taken,
                processed.map(|place| waiting[place].put.units).sum(),
                consumed_capacity,
            );
        }
    }

    /// Takes the first `size` lines away but for the unprocessed, which stay in
    /// front: what comes later for their keys has to wait.
    fn written(&self, waiting: &mut VecDeque<Line>, size: usize, unprocessed: &[usize]) {
        let sent: Vec<Line> = waiting.drain(..size).collect();
        let mut left = Vec::new();
        let mut done = Vec::with_capacity(size);
        for (place, line) in sent.into_iter().enumerate() {
            if unprocessed.binary_search(&place).is_ok() {
                left.push(line);
            } else {
                done.push(line.entry);
            }
        }
        self.ledger.written(done.into_iter());
        left.into_iter().rev().for_each(|line| waiting.push_front(line));
    }

    fn reject(&self, line: &Line, refused: Refused) {
        let why = refused.message.unwrap_or_else(|| refused.error.message().to_owned());
        let (file, number) = &line.place;
        let place = format!("{file}:{number}");
        self.ledger.reject(line.entry, &line.text, &place, &why);
    }

    fn fail(&self, error: Error) {
        self.ledger.close(Some(error));
        self.stop.send_replace(true);
    }
}
