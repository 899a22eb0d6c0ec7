//! One stream to the control plane from its first line to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::agent::{Shared, Workload};
use super::client::{self, Connection};
use super::taps::Taps;
use super::{ALIVE_EVERY, CONTROL, FromControl, FromProxy, MAX_LINE_BYTES, SILENCE, STREAM_PATH};

/// Longest time to the head of the answer.
const BEGIN: Duration = Duration::from_secs(5);
/// Lines that wait to be sent.
const QUEUE: usize = 16;

/// Follows the control plane at `address` for `workload` until it breaks off. Returns why.
pub(super) async fn follow(shared: &Arc<Shared>, workload: &Arc<Workload>, address: &str) -> String {
    match run(shared, workload, address).await {
        Ok(()) => format!("{address}: the stream ended"),
        Err(reason) => reason,
    }
}

async fn run(shared: &Arc<Shared>, workload: &Arc<Workload>, address: &str) -> Result<(), String> {
    let mut connection = client::connect(address, &workload.keeper.credentials).await?;
    let (lines, mut answers) = open(&mut connection, address).await?;
    lines.say(&shared.hello(workload)).await?;
    let mut needs = shared.directory.needs();
    lines.say(&needed(&mut needs)).await?;
    let mut presence = workload.presence.subscribe();
    lines.say(&workload.presence_at(connection.local)).await?;
    presence.mark_unchanged();
    let mut ticks = interval(ALIVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    let mut taps = Taps::default();
    loop {
        tokio::select! {
            said = answers.next() => {
                heard_at = Instant::now();
                match said? {
                    None => return Ok(()),
                    Some(line) => match hear(shared, workload, line).await? {
                        Heard::Nothing => {}
                        Heard::Say(answer) => lines.say(&answer).await?,
                        Heard::Tap(id, filter) => {
                            if let Some(attached) = shared.attached() {
                                taps.open(id, &filter, &attached.tap, &workload.service, &lines);
                            }
                        }
                        Heard::Untap(id) => taps.close(id),
                    },
                }
            }
            Ok(()) = needs.changed() => {
                lines.say(&needed(&mut needs)).await?;
            }
            Ok(()) = presence.changed() => {
                presence.mark_unchanged();
                lines.say(&workload.presence_at(connection.local)).await?;
            }
            now = ticks.tick() => {
                if heard_at + SILENCE < now {
                    return Err(format!("{address}: silent for {} s", SILENCE.as_secs()));
                }
                lines.say(&shared.summary(workload, now)).await?;
            }
        }
    }
}

fn needed(needs: &mut watch::Receiver<BTreeSet<String>>) -> FromProxy {
    FromProxy::Needs { services: needs.borrow_and_update().clone() }
}

/// What is to be done about a line.
enum Heard {
    Nothing,
    Say(FromProxy),
    Tap(u64, String),
    Untap(u64),
}

async fn hear(shared: &Arc<Shared>, workload: &Arc<Workload>, line: Vec<u8>) -> Result<Heard, String> {
    let (shared, workload) = (shared.clone(), workload.clone());
    let heard = move || {
        let said = serde_json::from_slice(&line).map_err(|error| format!("not understood: {error}"))?;
        Ok(shared.hear(&workload, said))
    };
    // to read and compile thousands of routes takes longer than requests should wait
    tokio::task::spawn_blocking(heard).await.map_err(|error| error.to_string())?
}

impl Shared {
    fn hear(&self, workload: &Workload, said: FromControl) -> Heard {
        match said {
            FromControl::Alive => Heard::Nothing,
            FromControl::Left => {
                workload.left.send_replace(true);
                Heard::Nothing
            }
            FromControl::Tap { tap, filter } => Heard::Tap(tap, filter),
            FromControl::Untap { tap } => Heard::Untap(tap),
            FromControl::Push { nonce, set, removed, complete } => {
                let rejected = self.take(workload, &set, &removed, complete);
                Heard::Say(match rejected.is_empty() {
                    true => FromProxy::Ack { nonce },
                    false => FromProxy::Nack { nonce, rejected },
                })
            }
        }
    }
}

/// Begins the stream: where to say something, and what is said.
async fn open(connection: &mut Connection, address: &str) -> Result<(Lines, Answers), String> {
    let (sender, receiver) = mpsc::channel::<Bytes>(QUEUE);
    let body = stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), receiver))
    });
    let request = http::Request::post(format!("http://{CONTROL}.mesh{STREAM_PATH}"))
        .header(http::header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::from_stream(body))
        .map_err(|error| error.to_string())?;
    let answered = timeout(BEGIN, connection.sender.send_request(request)).await;
    let response = answered.map_err(|_| format!("{address}: no answer within {} s", BEGIN.as_secs()))?;
    let response = response.map_err(|error| format!("{address}: {error}"))?;
    if !response.status().is_success() {
        return Err(format!("{address} refused the stream: {}", response.status().as_u16()));
    }
    let answers = Answers { body: response.into_body(), lines: LineBuffer::up_to(MAX_LINE_BYTES) };
    Ok((Lines { sender }, answers))
}

/// The way to say something.
#[derive(Clone)]
pub(super) struct Lines {
    sender: mpsc::Sender<Bytes>,
}

impl Lines {
    pub(super) async fn say(&self, said: &FromProxy) -> Result<(), String> {
        let mut line = serde_json::to_vec(said).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let sent = timeout(SILENCE, self.sender.send(line.into())).await;
        sent.map_err(|_| "the control plane does not listen".to_owned())?
            .map_err(|_| "the stream broke off".to_owned())
    }
}

/// What is said, line by line.
struct Answers {
    body: hyper::body::Incoming,
    lines: LineBuffer,
}

impl Answers {
    /// `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(line) = self.lines.take()? {
                return Ok(Some(line));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => self.lines.add(frame.data_ref().map_or(&[], |bytes| &bytes[..])),
            }
        }
    }
}

/// Bytes until they are lines.
pub struct LineBuffer {
    /// The longest line, in bytes.
    most: usize,
    bytes: Vec<u8>,
    /// How far it was looked for an end.
    looked: usize,
}

impl LineBuffer {
    /// For lines of `most` bytes.
    pub fn up_to(most: usize) -> LineBuffer {
        LineBuffer { most, bytes: Vec::new(), looked: 0 }
    }

    /// More of the stream.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    ///
    /// Errors: it is too long.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(end) = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n') else {
            self.looked = self.bytes.len();
            if self.looked > self.most {
                return Err(format!("a line is longer than {} bytes", self.most));
            }
            return Ok(None);
        };
        let rest = self.bytes.split_off(self.looked + end + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.pop();
        self.looked = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut buffer = LineBuffer::up_to(10);
        let mut taken = Vec::new();
        for part in ["a", "b\nc", "d\n\ne", "\n"] {
            buffer.add(part.as_bytes());
            while let Some(line) = buffer.take().unwrap() {
                taken.push(String::from_utf8(line).unwrap());
            }
        }

        assert_eq!(taken, ["ab", "cd", "", "e"]);
        buffer.add(b"0123456789");
        assert_eq!(buffer.take(), Ok(None));
        buffer.add(b"0");
        assert!(buffer.take().is_err());
    }
}
